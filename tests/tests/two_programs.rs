//! `effnet`, which has no libtorch, and the `effnet-torch` beside it.

#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

use effnet_tests::{checkout, effnet, finish, programs, ship};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A call of a copy of `effnet` in an empty folder, beside which there is what `program`, a shell script, is.
fn copied(folder: &Path, program: Option<&str>) -> Command {
    let copy = folder.join("effnet");
    install(Path::new(effnet().get_program()), &copy);
    if let Some(script) = program {
        script_at(&folder.join("effnet-torch"), script);
    }
    let mut command = Command::new(copy);
    command.env("EFFNET_OFFLINE", "1").env("NO_COLOR", "1");
    command
}

/// Copies a program. Another process does it: a file that this one has open for writing is inherited by what
/// other tests start meanwhile, and Linux runs no program that somebody may still write to.
fn install(from: &Path, to: &Path) {
    let install = Command::new("install")
        .args(["-m", "755"])
        .args([from, to])
        .status();
    assert!(install.unwrap().success());
}

fn script_at(path: &Path, script: &str) {
    let text = path.with_extension("sh");
    fs::write(&text, script).unwrap();
    install(&text, path);
}

fn needed_libraries(program: &Path) -> Vec<String> {
    let output = Command::new("readelf").arg("-d").arg(program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().filter(|line| line.contains("(NEEDED)"));
    names
        .map(|line| line.split(['[', ']']).nth(1).unwrap().to_owned())
        .collect()
}

#[test]
fn nothing_that_effnet_is_built_from_is_libtorch() {
    let tree = Command::new(env!("CARGO"))
        .current_dir(checkout())
        .args([
            "tree",
            "--offline",
            "--package",
            "effnet-cli",
            "--edges",
            "normal,build",
        ])
        .args(["--prefix", "none"])
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    assert!(tree.contains("effnet-kernels "), "{tree}");
    for name in [
        "tch ",
        "torch-sys ",
        "libtorch-ext ",
        "torch-c10d ",
        "effnet-core ",
    ] {
        assert!(!tree.lines().any(|line| line.starts_with(name)), "{name}");
    }
}

#[test]
#[cfg(target_env = "gnu")]
fn effnet_needs_libc_alone_and_effnet_torch_shares_the_runtime_of_libtorch() {
    let light = needed_libraries(&programs().join("effnet"));
    let allowed = ["libc.so", "libm.so", "ld-linux"];
    assert!(
        light
            .iter()
            .all(|name| allowed.iter().any(|prefix| name.starts_with(prefix))),
        "{light:?}"
    );
    let torch = needed_libraries(&programs().join("effnet-torch"));
    for name in ["libstdc++.so", "libtorch_cpu.so"] {
        assert!(
            torch.iter().any(|found| found.starts_with(name)),
            "{name}: {torch:?}"
        );
    }
}

#[test]
fn both_programs_give_the_same_bytes_on_a_cpu() {
    for arguments in [
        vec!["classify", "--top-k", "0", "--format", "json"],
        vec!["classify", "--format", "csv", "--precision", "bf16"],
        vec!["features"],
    ] {
        let run = |program: &str| {
            let mut command = effnet();
            let mut call = Command::new(programs().join(program));
            call.envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            );
            command = call;
            command.arg(arguments[0]).arg(ship());
            let rest = &arguments[1..];
            finish(
                command
                    .args(rest)
                    .args(["--model", "b0.cifar10", "--device", "cpu"]),
            )
        };
        let (light, torch) = (run("effnet"), run("effnet-torch"));
        assert_eq!(light.code, Some(0), "{}", light.stderr);
        assert!(!light.stdout.is_empty());
        assert_eq!(light.stdout, torch.stdout, "{arguments:?}");
    }
}

#[test]
fn without_effnet_torch_a_call_that_needs_it_says_so_and_the_others_work() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        vec!["train", "photos"],
        vec!["finetune", "photos"],
        vec!["classify", "x.jpg", "--device", "cuda"],
        vec!["classify", "x.jpg", "--engine", "plain"],
        vec!["bench", "--engine", "plain"],
        vec!["explain", "x.jpg", "--layer", "stage3"],
        vec!["explain", "x.jpg", "--layer", "stem", "--method", "layercam"],
    ] {
        let refused = finish(copied(folder.path(), None).args(&arguments));
        assert_eq!(refused.code, Some(2), "{arguments:?}");
        assert_eq!(refused.stderr.trim_end().lines().count(), 1, "{}", refused.stderr);
        assert!(
            refused.stderr.contains("needs effnet-torch"),
            "{}",
            refused.stderr
        );
    }
    for arguments in [
        vec!["train", "--help"],
        vec!["train", "photos", "--print-config"],
        vec!["env"],
        vec!["models"],
        vec!["completions", "bash"],
        vec!["man"],
    ] {
        let done = finish(copied(folder.path(), None).args(&arguments));
        assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.stderr);
    }
}

#[test]
fn a_call_is_handed_over_with_its_arguments_and_its_version() {
    let folder = tempfile::tempdir().unwrap();
    let script = "#!/bin/sh\nprintf '%s\\n' \"$EFFNET_HANDED_OVER_BY\" \"$GOMP_SPINCOUNT\" \"$@\"\ncat\n";
    let mut call = copied(folder.path(), Some(script));
    call.env_remove("OMP_WAIT_POLICY").env_remove("GOMP_SPINCOUNT");
    let mut child = call
        .args(["train", "my photos", "--epochs", "3"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // What was typed ahead is the other program's.
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"typed ahead\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = stdout.lines().collect();
    let expected = [
        VERSION,
        "1000",
        "train",
        "my photos",
        "--epochs",
        "3",
        "typed ahead",
    ];
    assert_eq!(lines, expected);
    // Whoever is on the search path instead is not asked.
    fs::remove_file(folder.path().join("effnet-torch")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = elsewhere.path().join("effnet-torch");
    script_at(&other, script);
    let mut call = copied(folder.path(), None);
    call.env("PATH", elsewhere.path()).current_dir(elsewhere.path());
    assert_eq!(finish(call.args(["train", "photos"])).code, Some(2));
}

#[test]
fn effnet_torch_refuses_a_call_from_another_version_in_one_line() {
    let mut call = Command::new(programs().join("effnet-torch"));
    call.args(["models"]).env("EFFNET_HANDED_OVER_BY", "9.9.9");
    let refused = finish(call.env("NO_COLOR", "1"));
    assert_eq!(refused.code, Some(2));
    assert_eq!(refused.stderr.trim_end().lines().count(), 1, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("9.9.9") && refused.stderr.contains(VERSION),
        "{}",
        refused.stderr
    );
}

#[test]
fn the_hidden_question_is_answered_without_doing_anything() {
    let ask = |arguments: &[&str]| finish(effnet().arg("__needs-torch").args(arguments)).code;
    assert_eq!(ask(&["train", "photos"]), Some(0));
    assert_eq!(ask(&["classify", "x.jpg", "--device", "cuda:1"]), Some(0));
    assert_eq!(ask(&["classify", "x.jpg"]), Some(1));
    assert_eq!(ask(&["train", "photos", "--print-config"]), Some(1));
    assert_eq!(ask(&["no-such-command"]), Some(1));
}

#[test]
fn the_bundled_network_needs_no_folder_to_write_to() {
    let folder = tempfile::tempdir().unwrap();
    let mut call = effnet();
    call.current_dir(folder.path())
        .env("EFFNET_CACHE", folder.path().join("cache"))
        .env("HOME", folder.path().join("home"));
    let done = finish(call.arg("classify").arg(ship()).args(["--model", "b0.cifar10"]));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stdout.contains("ship"), "{}", done.stdout);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
