//! What is found out rather than asked for.

use std::fs;

use effnet_tests::Finished;
use serde_json::Value;

use super::{Home, succeeded};

/// A small run of `train` or `finetune` in the folder `run`, with settings that find something out.
fn small(home: &Home, command: &str, arguments: &[&str]) -> Finished {
    let run = [command, "photos", "--output", "run", "--image-size", "32"];
    let run = [&run[..], &["--device", "cpu", "--threads", "1"], arguments];
    home.run(&run.concat())
}

fn config(home: &Home) -> Value {
    serde_json::from_str(&fs::read_to_string(home.path("run/config.json")).unwrap()).unwrap()
}

#[test]
fn a_learning_rate_is_found_written_down_and_trained_with() {
    let home = Home::with_photos(12);
    let run = home.train(&["--output", "run", "--lr", "auto", "--schedule", "constant"]);
    succeeded(&run);
    assert!(run.stderr.contains("learning rate "), "{}", run.stderr);
    let rate = config(&home)["lr"].as_f64().unwrap();
    assert!(rate > 1e-6 && rate < 10.0, "{rate}");
    assert_eq!(home.records("run").last().unwrap()["lr"].as_f64().unwrap(), rate);
    assert!(home.path("run/lr-finder.png").is_file());
}

#[test]
fn a_classifier_alone_learns_at_the_rate_that_was_found_and_is_printed() {
    let home = Home::with_photos(12);
    succeeded(&home.train(&["--output", "first", "--epochs", "1"]));
    let flags = ["--weights", "first", "--lr", "auto", "--freeze", "features"];
    let constant = ["--schedule", "constant", "--epochs", "1", "--batch-size", "8"];
    let run = small(&home, "finetune", &[&flags[..], &constant].concat());
    succeeded(&run);
    let config = config(&home);
    let rate = config["lr"].as_f64().unwrap() * config["head_rate"].as_f64().unwrap();
    let trained = home.records("run").last().unwrap()["lr"].as_f64().unwrap();
    assert!((trained / rate - 1.0).abs() < 1e-12, "{trained}, not {rate}");
    for printed in ["--lr auto: ", "with learning rate "].map(|before| format!("{before}{trained:.1e}")) {
        assert!(run.stderr.contains(&printed), "{printed}: {}", run.stderr);
    }
}

#[test]
fn a_batch_size_is_chosen_and_written_down() {
    let home = Home::with_photos(60);
    let run = small(&home, "train", &["--batch-size", "auto", "--epochs", "1"]);
    succeeded(&run);
    // 144 images to train on are 18 batches of 8 and 9 of 16, and an epoch should have 16 steps.
    assert!(run.stderr.contains("batch size 8 "), "{}", run.stderr);
    assert_eq!(config(&home)["batch_size"], 8);
}

#[test]
fn networks_are_fine_tuned_with_larger_batches() {
    let home = Home::with_photos(60);
    succeeded(&home.train(&["--output", "first", "--batch-size", "48", "--epochs", "1"]));
    let run = small(&home, "finetune", &["--weights", "first", "--epochs", "1"]);
    succeeded(&run);
    // Batches of 8 make 18 steps and would do to train from scratch.
    assert!(run.stderr.contains("batch size 16 "), "{}", run.stderr);
    assert_eq!(config(&home)["batch_size"], 16);
}

#[test]
fn as_many_epochs_are_trained_as_a_time_allows() {
    let home = Home::with_photos(12);
    let run = small(&home, "train", &["--batch-size", "8", "--time", "3s"]);
    succeeded(&run);
    let epochs = config(&home)["epochs"].as_u64().unwrap();
    assert!((1..=100).contains(&epochs));
    // Whether they fit or even one takes longer.
    let noun = if epochs == 1 { "epoch" } else { "epochs" };
    let said = run
        .stderr
        .lines()
        .find(|line| line.contains("--time 3s: "))
        .unwrap();
    assert!(said.contains(&format!("{epochs} {noun} of about ")), "{said}");
    let records = home.records("run");
    let trained = records
        .iter()
        .filter(|record| record["record"] == "epoch")
        .count();
    assert_eq!(trained as u64, epochs);
    // The number is that of the run: a resumed run does not measure again.
    let resumed = home.run(&["train", "--resume", "run"]);
    succeeded(&resumed);
    assert!(!resumed.stderr.contains("--time"), "{}", resumed.stderr);
}
