//! What `effnet evaluate` measures and prints.

use std::collections::BTreeMap;
use std::path::Path;

use effnet_tests::{Finished, effnet, finish};
use serde_json::Value;
use tempfile::TempDir;

use super::{weights, write_images};

const LABELS: [&str; 3] = ["ant", "bee", "cat"];

/// `photos/` with four, three and two images of three classes, and `named.safetensors`.
fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    for (count, label) in (2..=4).rev().zip(LABELS) {
        write_images(&home.path().join("photos").join(label), count);
    }
    weights(home.path(), &LABELS);
    home
}

fn evaluate(home: &Path, arguments: &[&str]) -> Finished {
    finish(
        effnet()
            .current_dir(home)
            .args([
                "evaluate",
                "photos",
                "--weights",
                "named.safetensors",
                "--device",
                "cpu",
            ])
            .args(arguments),
    )
}

fn report(run: &Finished) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {} {}", run.stdout, run.stderr))
}

/// The logits of each image by `effnet classify`, with its true class.
fn logits(home: &Path) -> Vec<(usize, Vec<f64>)> {
    let run = finish(
        effnet()
            .current_dir(home)
            .args([
                "classify",
                "photos",
                "--weights",
                "named.safetensors",
                "--device",
                "cpu",
            ])
            .args(["--format", "json", "--top-k", "0"]),
    );
    let of_record = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap();
        let folder = Path::new(record["input"].as_str().unwrap())
            .parent()
            .unwrap()
            .to_owned();
        let label = LABELS.iter().position(|label| folder.ends_with(label)).unwrap();
        let predictions = record["predictions"].as_array().unwrap();
        let logits: BTreeMap<u64, f64> = predictions
            .iter()
            .map(|p| (p["class"].as_u64().unwrap(), p["logit"].as_f64().unwrap()))
            .collect();
        (label, logits.into_values().collect())
    };
    run.stdout.lines().map(of_record).collect()
}

#[test]
fn the_report_is_that_of_the_logits_that_classify_gives() {
    let home = home();
    let run = evaluate(home.path(), &["--format", "json"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let report = report(&run);
    let logits = logits(home.path());
    assert_eq!(report["images"], 9);
    assert_eq!(report["failed"], 0);
    let right = logits
        .iter()
        .filter(|(label, row)| row.iter().all(|logit| *logit <= row[*label]));
    assert_eq!(report["top1"].as_f64().unwrap(), right.count() as f64 / 9.0);
    assert_eq!(report["top5"], 1.0);
    let loss = logits
        .iter()
        .map(|(label, row)| row.iter().map(|logit| logit.exp()).sum::<f64>().ln() - row[*label]);
    let loss = loss.sum::<f64>() / 9.0;
    assert!(
        (report["loss"].as_f64().unwrap() - loss).abs() < 1e-4 * loss,
        "{report} {loss}"
    );
    assert!(report["images_per_second"].as_f64().unwrap() > 0.0);
    assert!((0.0..1.0).contains(&report["ece"].as_f64().unwrap()));
}

#[test]
fn classes_are_reported_with_their_support() {
    let report = report(&evaluate(home().path(), &["--format", "json"]));
    let classes: Vec<(&str, u64)> = report["classes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|class| {
            (
                class["label"].as_str().unwrap(),
                class["support"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(classes, [("ant", 4), ("bee", 3), ("cat", 2)]);
}

#[test]
fn the_batch_size_changes_nothing_but_the_speed() {
    let home = home();
    let of = |size: &str| {
        let mut report = report(&evaluate(
            home.path(),
            &["--format", "json", "--batch-size", size],
        ));
        let loss = report["loss"].as_f64().unwrap();
        for changing in ["loss", "ece", "images_per_second"] {
            report.as_object_mut().unwrap().remove(changing);
        }
        (report, loss)
    };
    let ((one, one_loss), (all, all_loss)) = (of("1"), of("9"));
    assert_eq!(one, all);
    assert!(
        (one_loss - all_loss).abs() < 1e-5 * one_loss,
        "{one_loss} {all_loss}"
    );
}

#[test]
fn test_images_are_evaluated_on_request_alone() {
    let split = home();
    for (part, count) in [("train", 4), ("val", 3), ("test", 2)] {
        for label in LABELS {
            write_images(&split.path().join("photos").join(part).join(label), count);
        }
    }
    for label in LABELS {
        std::fs::remove_dir_all(split.path().join("photos").join(label)).unwrap();
    }
    let images = |flags: &[&str]| {
        report(&evaluate(split.path(), &[&["--format", "json"], flags].concat()))["images"].clone()
    };
    assert_eq!([images(&[]), images(&["--test"])], [9, 6]);
    assert_eq!(evaluate(split.path(), &["--test", "--all"]).code, Some(2));
    let run = evaluate(home().path(), &["--test"]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(
        run.stderr.contains("photos: expected test images"),
        "{}",
        run.stderr
    );
}

#[test]
fn people_get_a_table_with_a_line_for_each_class() {
    let run = evaluate(home().path(), &[]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    for expected in [
        "images             9\n",
        "top-1 ",
        "calibration error  ",
        "(mean probability of the answers: ",
        "images/s",
    ] {
        assert!(run.stdout.contains(expected), "{expected} in {}", run.stdout);
    }
    // There are three classes.
    assert!(!run.stdout.contains("top-5"), "{}", run.stdout);
    for label in LABELS {
        assert!(
            run.stdout.lines().any(|line| line.starts_with(label)),
            "{}",
            run.stdout
        );
    }
}

#[test]
fn the_confusion_matrix_is_written_as_a_table_and_as_a_image() {
    let home = home();
    let run = evaluate(
        home.path(),
        &["--confusion-csv", "c.csv", "--confusion-png", "c.png"],
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let table = std::fs::read_to_string(home.path().join("c.csv")).unwrap();
    let rows: Vec<(String, u64)> = table
        .lines()
        .skip(1)
        .map(|line| {
            let (label, counts) = line.split_once(',').unwrap();
            (
                label.to_owned(),
                counts.split(',').map(|count| count.parse::<u64>().unwrap()).sum(),
            )
        })
        .collect();
    let expected = [("ant", 4), ("bee", 3), ("cat", 2)].map(|(label, sum)| (label.to_owned(), sum));
    assert_eq!(rows, expected);
    let image = image::open(home.path().join("c.png")).unwrap();
    assert!(image.width() > 300 && image.height() > 300);
}

#[test]
fn images_that_cannot_be_read_are_named_and_counted_and_the_others_measured() {
    let home = home();
    std::fs::write(
        home.path().join("photos/bee/broken.jpg"),
        b"\xff\xd8 not an image",
    )
    .unwrap();
    let run = evaluate(home.path(), &["--format", "json"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("photos/bee/broken.jpg"), "{}", run.stderr);
    let report = report(&run);
    assert_eq!((&report["images"], &report["failed"]), (&9.into(), &1.into()));
}

#[test]
fn nothing_but_broken_images_is_no_result() {
    let home = home();
    for label in LABELS {
        for entry in std::fs::read_dir(home.path().join("photos").join(label)).unwrap() {
            std::fs::write(entry.unwrap().path(), b"broken").unwrap();
        }
    }
    let run = evaluate(home.path(), &["--format", "json"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert_eq!(run.stderr.matches("error: photos/").count(), 9, "{}", run.stderr);
}

#[test]
fn a_run_stands_for_its_best_weights() {
    let home = home();
    std::fs::create_dir(home.path().join("run")).unwrap();
    std::fs::rename(
        home.path().join("named.safetensors"),
        home.path().join("run/best.safetensors"),
    )
    .unwrap();
    let of = |weights: &str| {
        finish(effnet().current_dir(home.path()).args([
            "evaluate",
            "photos",
            "--weights",
            weights,
            "--device",
            "cpu",
            "--format",
            "json",
        ]))
    };
    let run = of("run");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(report(&run)["weights"], "run/best.safetensors");
    let run = of("photos");
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert!(run.stderr.contains("expected best.safetensors"), "{}", run.stderr);
}
