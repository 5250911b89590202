//! Where results may go: through links, into pipes and devices, and into files that only their owner reads.
#![cfg(unix)]

use std::fs::File;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use effnet_tests::{effnet, finish, ship};
use tempfile::TempDir;

const HEADER: &str = "input,rank,class,label,logit,probability,error\n";

/// `ship.png`, and `photos/` with an image in the folder of its class.
fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join("photos/ship")).unwrap();
    for name in ["ship.png", "photos/ship/ship.png"] {
        std::fs::copy(ship(), home.path().join(name)).unwrap();
    }
    home
}

/// The bundled network, which needs no file.
fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = effnet();
    command.current_dir(home).args(arguments);
    command.args(["--model", "b0.cifar10", "--device", "cpu"]);
    command
}

fn classify(home: &Path, output: &str) -> Command {
    command(
        home,
        &["classify", "ship.png", "-k", "1", "--format", "csv", "-o", output],
    )
}

fn expected(home: &Path) -> String {
    let run = finish(&mut command(
        home,
        &["classify", "ship.png", "-k", "1", "--format", "csv"],
    ));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.starts_with(HEADER) && run.stdout.contains("ship.png,1,8,ship,"));
    run.stdout
}

#[test]
fn standard_output_has_several_names() {
    let home = home();
    let expected = expected(home.path());
    for output in ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        // A pipe.
        let run = finish(&mut classify(home.path(), output));
        assert_eq!(
            (run.code, &run.stdout),
            (Some(0), &expected),
            "{output}: {}",
            run.stderr
        );
        // A file that already has a line.
        let path = home.path().join("redirected.csv");
        std::fs::write(&path, "").unwrap();
        let mut script = Command::new("sh");
        script.args(["-c", "echo before; \"$@\" && echo after", "sh"]);
        let call = classify(home.path(), output);
        script
            .arg(call.get_program())
            .args(call.get_args())
            .current_dir(home.path());
        script.envs(call.get_envs().filter_map(|(name, value)| Some((name, value?))));
        script.stdout(File::create(&path).unwrap()).stderr(Stdio::null());
        assert!(script.status().unwrap().success(), "{output}");
        let found = std::fs::read_to_string(&path).unwrap();
        assert_eq!(found, format!("before\n{expected}after\n"), "{output}");
    }
    assert!(Path::new("/dev/stdout").is_symlink());
    assert!(!home.path().join("-").exists());
}

#[test]
fn the_file_behind_a_link_is_written_and_keeps_its_mode() {
    let home = home();
    let at = |name: &str| home.path().join(name);
    std::fs::create_dir(at("results")).unwrap();
    std::fs::write(at("results/real.csv"), "old").unwrap();
    std::fs::set_permissions(at("results/real.csv"), std::fs::Permissions::from_mode(0o600)).unwrap();
    symlink("results/real.csv", at("link.csv")).unwrap();
    let run = finish(&mut classify(home.path(), "link.csv"));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("1 classified, "), "{}", run.stderr);
    assert!(run.stderr.contains(" -> link.csv"), "{}", run.stderr);
    assert!(at("link.csv").is_symlink());
    assert_eq!(
        std::fs::read_to_string(at("results/real.csv")).unwrap(),
        expected(home.path())
    );
    let mode = std::fs::metadata(at("results/real.csv"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn pipes_and_devices_are_not_replaced() {
    let home = home();
    let run = finish(&mut classify(home.path(), "/dev/null"));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(
        std::fs::metadata("/dev/null")
            .unwrap()
            .file_type()
            .is_char_device()
    );
    let pipe = home.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut writer = classify(home.path(), "pipe")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let received = std::fs::read_to_string(&pipe).unwrap();
    assert!(writer.wait().unwrap().success());
    assert_eq!(received, expected(home.path()));
    assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
}

#[test]
fn all_outputs_of_evaluate_and_features_follow_the_same_rules() {
    let home = home();
    let at = |name: &str| home.path().join(name);
    for name in [
        "confusion.csv",
        "confusion.png",
        "predictions.jsonl",
        "features.csv",
    ] {
        symlink(format!("real-{name}"), at(name)).unwrap();
    }
    let evaluate = [
        "evaluate",
        "photos",
        "--confusion-csv",
        "confusion.csv",
        "--confusion-png",
        "confusion.png",
        "--predictions",
        "predictions.jsonl",
    ];
    let run = finish(&mut command(home.path(), &evaluate));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let run = finish(&mut command(
        home.path(),
        &["features", "ship.png", "-o", "features.csv"],
    ));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    for name in [
        "confusion.csv",
        "confusion.png",
        "predictions.jsonl",
        "features.csv",
    ] {
        assert!(at(name).is_symlink(), "{name}");
        assert!(
            std::fs::metadata(at(&format!("real-{name}"))).unwrap().len() > 100,
            "{name}"
        );
    }
    let run = finish(&mut command(
        home.path(),
        &["evaluate", "photos", "--confusion-csv", "-"],
    ));
    assert!(
        run.stdout.starts_with("true \\ predicted,airplane,"),
        "{}",
        run.stdout
    );
}
