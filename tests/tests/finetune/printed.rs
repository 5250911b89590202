//! What a run prints and records of how it computes, and what it leaves when it fails early.

use std::fs;

use effnet_tests::{interrupt, names_in};
use serde_json::Value;

use super::resume::{start, wait_for_steps};
use super::{Home, QUICK, refused, succeeded};

fn json_of(home: &Home, path: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(home.path(path)).unwrap()).unwrap()
}

#[test]
fn a_run_says_and_records_what_it_computes_with() {
    let home = Home::with_photos(8);
    let run = home.train(&["--output", "run", "--seed", "3"]);
    succeeded(&run);
    for expected in [
        "4.0 million parameters, adamw with learning rate 1.0e-3 (one-cycle), batch size 8, 2 epochs of 2 steps, seed 3",
        "cpu, 1 thread, fp32; effnet ",
        "libtorch 2.11.0",
        "run folder run",
        "class     images   recall  precision",
        "stripes        2",
    ] {
        assert!(run.stderr.contains(expected), "{expected} in {}", run.stderr);
    }
    assert!(!run.stderr.contains("top-5"), "{}", run.stderr);
    let header = "epoch  train loss  val loss  top-1 %      lr  images/s  time left";
    assert_eq!(run.stderr.matches(header).count(), 1, "{}", run.stderr);
    for row in ["  1/2  ", "  2/2  "] {
        assert!(
            run.stderr.lines().any(|line| line.starts_with(row)),
            "{}",
            run.stderr
        );
    }
    assert!(
        run.stderr
            .lines()
            .all(|line| !line.contains("/2  ") || line.len() <= 80)
    );
    assert_eq!(json_of(&home, "run/config.json")["precision"], "fp32");
    let facts = json_of(&home, "run/run.json");
    assert_eq!(facts["seed"], 3);
    let first = &facts["starts"][0];
    assert_eq!(
        (&first["device"], &first["precision"], &first["threads"]),
        (&"cpu".into(), &"fp32".into(), &1.into())
    );
    assert_eq!(first["libtorch"], "2.11.0");
    let epochs = facts["epochs"].as_array().unwrap();
    assert_eq!(epochs.len(), 2);
    assert!(
        epochs
            .iter()
            .all(|epoch| epoch["seconds"].as_f64().unwrap() > 0.0)
    );
}

#[test]
fn a_run_that_fails_early_leaves_no_trace() {
    let home = Home::with_photos(4);
    fs::write(home.path("other.pth"), "not weights").unwrap();
    let cases: [(&[&str], &str); 4] = [
        (&["--augment", "randaug"], "randaug"),
        (&["--precision", "fp16"], "fp16"),
        (&["--weights", "other.pth"], "other.pth"),
        (&["--warmup-epochs", "50"], "warm-up"),
    ];
    for (flags, expected) in cases {
        refused(&home.train(flags), &[expected]);
        refused(
            &home.train(&[flags, &["--output", "deep/run"]].concat()),
            &[expected],
        );
        assert!(!home.path("runs").exists(), "{expected}");
        assert!(!home.path("deep").exists(), "{expected}");
    }
}

#[test]
fn resuming_a_finished_run_says_so_and_writes_nothing() {
    let home = Home::with_photos(4);
    succeeded(&home.train(&["--output", "run", "--epochs", "1"]));
    let before = names_in(home.path("run"));
    let content = |name: &str| fs::read(home.path("run").join(name)).unwrap();
    let contents: Vec<_> = before.iter().map(|name| content(name)).collect();
    let run = home.run(&["train", "--resume", "run", "--device", "cpu"]);
    succeeded(&run);
    assert!(
        run.stderr.contains("finished after 1 epoch, nothing to resume")
            && run.stderr.contains("--resume run --epochs 2")
            && run.stderr.contains("--weights run"),
        "{}",
        run.stderr
    );
    assert_eq!(names_in(home.path("run")), before);
    assert_eq!(
        before.iter().map(|name| content(name)).collect::<Vec<_>>(),
        contents
    );
    let faster = home.run(&["train", "--resume", "run", "--lr", "0.5", "--device", "cpu"]);
    refused(
        &faster,
        &[
            "lr: 0.001 in the checkpoint, 0.5 now",
            "start a new run with --weights run",
        ],
    );
}

#[cfg(unix)]
#[test]
fn resuming_says_where_the_run_goes_on() {
    let home = Home::with_photos(6);
    let fixed = ["--output", "run", "--epochs", "3", "--log-steps", "1"];
    let mut child = start(&mut home.command(&[&QUICK[..], &fixed].concat()));
    wait_for_steps(&mut child, &home.path("run/log.jsonl"), 1);
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let run = home.run(&["train", "--resume", "run", "--device", "cpu", "--threads", "1"]);
    succeeded(&run);
    let line = run
        .stderr
        .lines()
        .find(|line| line.starts_with("resuming run: epoch "));
    let line = line.unwrap_or_else(|| panic!("{}", run.stderr));
    let numbers = line.split(|c: char| !c.is_ascii_digit());
    let numbers: Vec<u64> = numbers.filter_map(|number| number.parse().ok()).collect();
    let [epoch, epochs, step, steps] = numbers[..] else {
        panic!("{line}")
    };
    assert_eq!(epochs, 3, "{line}");
    assert!(
        (1..=epochs).contains(&epoch) && (1..=steps).contains(&step),
        "{line}"
    );
    let facts = json_of(&home, "run/run.json");
    assert_eq!(facts["starts"].as_array().unwrap().len(), 2);
    assert_eq!(facts["epochs"].as_array().unwrap().len(), 3);
}

#[test]
fn settings_are_printed_without_data_and_negative_numbers_are_values() {
    let home = Home::new();
    let run = home.run(&["train", "--recipe", "paper", "--print-config"]);
    succeeded(&run);
    assert!(run.stdout.contains("epochs = 350"), "{}", run.stdout);
    refused(
        &home.run(&["train", "photos", "--lr", "-1"]),
        &["--lr -1", "at least 0.000000000001"],
    );
    let run = home.run(&["train", "photos", "--epochs", "-1"]);
    refused(&run, &["'-1' for '--epochs <N>'"]);
    assert!(!run.stderr.contains("-- -1"), "{}", run.stderr);
}

#[test]
fn freezing_random_weights_is_warned_of() {
    let home = Home::with_photos(3);
    let run = home.train(&["--epochs", "1", "--freeze", "features"]);
    succeeded(&run);
    assert_eq!(
        run.stderr.matches("warning: --freeze").count(),
        1,
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("--weights pretrained"), "{}", run.stderr);
}

#[test]
fn weights_that_left_their_run_folder_are_warned_of() {
    let home = Home::with_photos(4);
    succeeded(&home.train(&["--output", "run", "--epochs", "1"]));
    fs::create_dir(home.path("elsewhere")).unwrap();
    fs::copy(
        home.path("run/best.safetensors"),
        home.path("elsewhere/mine.safetensors"),
    )
    .unwrap();
    let copied = home.evaluate("photos", "elsewhere/mine.safetensors", &[]);
    succeeded(&copied);
    assert!(
        copied.stderr.contains("not in its run folder"),
        "{}",
        copied.stderr
    );
    for weights in ["run", "run/best.safetensors"] {
        let run = home.evaluate("photos", weights, &[]);
        succeeded(&run);
        assert!(!run.stderr.contains("not in its run folder"), "{}", run.stderr);
    }
    let bench = home.run(&[
        "bench",
        "--weights",
        "run",
        "--runs",
        "2",
        "--device",
        "cpu",
        "--format",
        "json",
    ]);
    succeeded(&bench);
    let report: Value = serde_json::from_str(&bench.stdout).unwrap();
    // Not the 224 pixels of b0: the run was trained with 32.
    assert_eq!(report["image_size"], serde_json::json!([32, 32]));
}
