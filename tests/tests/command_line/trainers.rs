//! Checkpoints as training programs write them: each gives the class of the network that it holds, or is refused with
//! advice.

use std::path::{Path, PathBuf};
use std::process::Command;

use effnet_tests::{Finished, effnet, finish, interpreter, shared_data, ship, skip};
use serde_json::Value;

/// What timm's tf_efficientnet_b0 answers to the drawing of a ship with the weights of b0.cifar10.
const SHIP: &str = "class 8 (91.05 %)";

/// The weights of b0.cifar10 with timm's names and without metadata.
fn network(folder: &Path) -> PathBuf {
    let path = folder.join("network.pth");
    let run = finish(
        effnet()
            .args(["convert", "b0.cifar10"])
            .arg(&path)
            .args(["--to", "timm"]),
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    path
}

fn classify(weights: &Path) -> Finished {
    finish(
        effnet()
            .arg("classify")
            .arg(ship())
            .arg("--weights")
            .arg(weights)
            .args(["--image-size", "128", "--crop-pct", "1", "--top-k", "1"]),
    )
}

/// Runs a script of the reference packages. Returns what it prints.
fn python(interpreter: &Path, script: &Path, arguments: &[&Path]) -> String {
    let output = Command::new(interpreter)
        .arg(script)
        .args(arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", script.display());
    String::from_utf8(output.stdout).unwrap()
}

fn assert_ship(weights: &Path) {
    let run = classify(weights);
    assert_eq!(run.code, Some(0), "{}: {}", weights.display(), run.stderr);
    assert!(run.stdout.contains(SHIP), "{}: {}", weights.display(), run.stdout);
}

/// The network of the file is recognised by `inspect`, `convert` and `classify` alike, and not taken for `other`.
fn assert_variant(weights: &Path, variant: &str, other: &str) {
    let inspected = finish(effnet().arg("inspect").arg(weights).args(["--format", "json"]));
    let record: Value = serde_json::from_str(&inspected.stdout).unwrap();
    assert_eq!(record["variant"], variant, "{}", weights.display());
    let classify = |model: &str| {
        let mut command = effnet();
        command.arg("classify").arg(ship()).arg("--weights").arg(weights);
        finish(command.args(["--image-size", "64", "--model", model]))
    };
    let right = classify(variant);
    assert_eq!(right.code, Some(0), "{}", right.stderr);
    let wrong = classify(other);
    let message = format!("expected the parameters of {other}, found those of {variant}");
    assert!(
        wrong.code == Some(2) && wrong.stderr.contains(&message),
        "{}",
        wrong.stderr
    );
    let converted = weights.with_extension("converted.safetensors");
    let convert = finish(
        effnet()
            .arg("convert")
            .arg(weights)
            .arg(&converted)
            .args(["--to", "timm"]),
    );
    assert_eq!(convert.code, Some(0), "{}", convert.stderr);
    let again = finish(effnet().arg("inspect").arg(&converted).args(["--format", "json"]));
    let record: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(record["variant"], variant, "{}", converted.display());
}

#[test]
fn checkpoints_of_training_programs_load_or_say_what_to_do() {
    let interpreter = match interpreter() {
        Ok(interpreter) => interpreter,
        Err(reason) => return skip("checkpoints_of_training_programs_load_or_say_what_to_do", &reason),
    };
    let folder = tempfile::tempdir().unwrap();
    let script = effnet_tests::checkout().join("scripts/reference/trainer_checkpoints.py");
    let network = network(folder.path());
    let rows = python(&interpreter, &script, &[&network, folder.path()]);
    let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
    assert!(rows.len() > 30, "{} files", rows.len());
    for row in &rows {
        let path = folder.path().join(row["file"].as_str().unwrap());
        if let (Some(variant), Some(other)) = (row["variant"].as_str(), row["other"].as_str()) {
            assert_variant(&path, variant, other);
            continue;
        }
        let Some(words) = row["refused"].as_array() else {
            assert_ship(&path);
            continue;
        };
        let run = classify(&path);
        assert_eq!(run.code, Some(2), "{}: {}", path.display(), run.stdout);
        for word in words.iter().map(|word| word.as_str().unwrap()) {
            assert!(run.stderr.contains(word), "`{word}` is not in:\n{}", run.stderr);
        }
    }
    let key = [
        "--key",
        "state_dict.student",
        "--profile",
        "tf",
        "--image-size",
        "128",
        "--crop-pct",
        "1",
    ];
    let student = finish(
        effnet()
            .arg("classify")
            .arg(ship())
            .arg("--weights")
            .arg(folder.path().join("two-networks.ckpt"))
            .args(key),
    );
    assert!(student.stdout.contains("class 8"), "{}", student.stderr);
    // Here as well, because making the files takes longer than all of the checks.
    assert_conversions(folder.path(), &network);
}

/// Convert refuses relatives, and warns of a guessed profile.
fn assert_conversions(folder: &Path, network: &Path) {
    let convert = |file: &Path| {
        finish(
            effnet()
                .arg("convert")
                .arg(file)
                .arg(folder.join("converted.safetensors"))
                .arg("--force"),
        )
    };
    let edge = convert(&folder.join("tf_efficientnet_es.pth"));
    assert_eq!(edge.code, Some(2));
    assert!(edge.stderr.contains("EfficientNet-EdgeTPU"), "{}", edge.stderr);
    let mut lite = effnet();
    lite.arg("convert")
        .arg(folder.join("timm.pth"))
        .arg(folder.join("lite.pth"));
    let lite = finish(lite.args(["--to", "torchvision"]));
    assert_eq!(lite.code, Some(2));
    assert!(
        lite.stderr
            .contains("torchvision does not have EfficientNet-Lite"),
        "{}",
        lite.stderr
    );
    let guess = convert(network);
    assert_eq!(guess.code, Some(0), "{}", guess.stderr);
    assert!(guess.stderr.contains("assuming timm"), "{}", guess.stderr);
    let stated = convert(&folder.join("train.pth.tar"));
    assert_eq!(stated.code, Some(0), "{}", stated.stderr);
    assert!(!stated.stderr.contains("assuming"), "{}", stated.stderr);
}

#[test]
fn the_collected_checkpoints_and_labels_are_read() {
    let test = "the_collected_checkpoints_and_labels_are_read";
    let (interpreter, data) = match (interpreter(), shared_data()) {
        (Ok(interpreter), Ok(data)) => (interpreter, data),
        (Err(reason), _) | (_, Err(reason)) => return skip(test, &reason),
    };
    let cases = data.join("../cases");
    if !cases.is_dir() {
        return skip(test, "no collected cases beside the photos");
    }
    let folder = tempfile::tempdir().unwrap();
    let network = network(folder.path());
    let tf = folder.path().join("tf");
    let script = cases.join("checkpoints/make_tf_case.py");
    let answer = python(&interpreter, &script, &[&network, &tf, Path::new("128"), &ship()]);
    assert!(answer.contains("class 8 0.910"), "{answer}");
    for file in ["model_best.pth.tar", "whole.pt", "fold0_tf_efficientnet_b0.pth"] {
        assert_ship(&tf.join(file));
    }
    assert_ship(&tf.join("tf_efficientnet_b0_fold0.pth"));
    assert_ship(&tf.join("hub/model.safetensors"));

    let made = folder.path().join("made");
    python(
        &interpreter,
        &cases.join("checkpoints/make_checkpoints.py"),
        &[&made],
    );
    let mut files = 0;
    for entry in std::fs::read_dir(&made).unwrap() {
        let run = classify(&entry.unwrap().path());
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        files += 1;
    }
    assert!(files > 10, "{files} files");
    for entry in std::fs::read_dir(cases.join("labels")).unwrap() {
        let mut command = effnet();
        command.arg("classify").arg(ship()).arg("--weights").arg(&network);
        command.arg("--labels").arg(entry.unwrap().path());
        let run = finish(command.args(["--image-size", "128", "--crop-pct", "1", "--profile", "tf"]));
        // Class 8 is the ninth letter.
        assert!(
            run.stdout.contains("i (91.05 %)") || run.stdout.contains("91.05 %  i"),
            "{}{}",
            run.stdout,
            run.stderr
        );
    }
}
