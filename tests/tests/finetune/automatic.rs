//! What is found out rather than asked for.

use std::fs;

use serde_json::Value;

use super::{Home, succeeded};

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
}

#[test]
fn a_batch_size_is_chosen_and_written_down() {
    let home = Home::with_photos(60);
    let run = home.run(&[
        "train",
        "photos",
        "--output",
        "run",
        "--image-size",
        "32",
        "--batch-size",
        "auto",
        "--epochs",
        "1",
        "--device",
        "cpu",
        "--threads",
        "1",
    ]);
    succeeded(&run);
    // 144 images to train on are 18 batches of 8 and 9 of 16, and an epoch should have 16 steps.
    assert!(run.stderr.contains("batch size 8 "), "{}", run.stderr);
    assert_eq!(config(&home)["batch_size"], 8);
}
