//! Calls `effnet runs` on folders of runs in all states.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use effnet_run::RunFolder;
use serde_json::{Value, json};

fn runs(home: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_effnet"))
        .arg("runs")
        .args(arguments)
        .current_dir(home)
        .output()
        .unwrap()
}

fn add(home: &Path, name: &str, settings: &Value, top1: &[f64]) {
    let run = home.join("runs").join(name);
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join("config.json"), settings.to_string()).unwrap();
    let record = |(index, top1): (usize, &f64)| {
        let record = json!({"record": "epoch", "epoch": index + 1, "step": index + 1, "lr": 1e-3,
            "train_loss": 0.5, "validation": {"images": 8, "top1": top1, "top5": 1.0, "loss": 0.7, "ece": 0.1}});
        format!("{record}\n")
    };
    let log: String = top1.iter().enumerate().map(record).collect();
    fs::write(run.join("log.jsonl"), log).unwrap();
}

/// Runs that are finished, interrupted, stopped early, running, broken and of an earlier version.
fn home() -> (tempfile::TempDir, RunFolder) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path();
    let settings = |epochs: u32, seed: u64| {
        json!({"data": "photos", "task": "classify", "epochs": epochs, "seed": seed, "model": "b0",
            "image_size": 64, "patience": 2})
    };
    add(path, "finished", &settings(2, 0), &[0.5, 0.75]);
    add(path, "deep/interrupted", &settings(9, 0), &[0.25]);
    add(path, "early", &settings(9, 1), &[0.9, 0.5, 0.5]);
    add(path, "running", &settings(9, 0), &[]);
    // Without most settings, the task and run.json.
    add(
        path,
        "old",
        &json!({"data": "photos", "epochs": 1, "model": "b1"}),
        &[0.1],
    );
    add(
        path,
        "newer",
        &json!({"data": "photos", "epochs": 1, "from_the_future": 1}),
        &[0.1],
    );
    add(path, "broken", &settings(2, 0), &[0.5]);
    fs::write(path.join("runs/broken/log.jsonl"), "{\"record\": \n{}\n").unwrap();
    fs::create_dir(path.join("runs/other")).unwrap();
    fs::write(path.join("runs/other/config.json"), "{}").unwrap();
    let running = RunFolder::open(path.join("runs/running")).unwrap();
    (home, running)
}

#[test]
fn runs_are_listed_with_the_best_first_and_none_fails_the_others() {
    let (home, _running) = home();
    let output = runs(home.path(), &["--format", "json"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let records: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let found: Vec<_> = records
        .iter()
        .map(|run| (run["run"].as_str().unwrap(), run["status"].as_str().unwrap()))
        .collect();
    assert_eq!(
        found,
        [
            ("runs/early", "stopped_early"),
            ("runs/finished", "finished"),
            ("runs/deep/interrupted", "interrupted"),
            ("runs/old", "finished"),
            ("runs/broken", "broken"),
            ("runs/newer", "broken"),
            ("runs/running", "running"),
        ]
    );
    assert_eq!(records[0]["best_epoch"], 1);
    assert_eq!(records[0]["settings"]["seed"], 1);
    assert!(records[0]["settings"].get("data").is_none(), "{}", records[0]);
    assert!(records[5]["error"].as_str().unwrap().contains("from_the_future"));
}

#[test]
fn the_best_epoch_is_the_one_whose_weights_were_saved() {
    let home = tempfile::tempdir().unwrap();
    let settings = json!({"data": "prices.csv", "task": "regression", "epochs": 3});
    add(home.path(), "prices", &settings, &[]);
    let epoch = |epoch: u64, mae: f64, best: bool| {
        let validation = json!({"images": 8, "mae": mae, "mse": mae * mae, "r2": 0.5});
        json!({"record": "epoch", "epoch": epoch, "step": epoch, "lr": 1e-3, "train_loss": 0.5,
            "validation": validation, "best": best})
    };
    // Of several values, training compares standardised errors.
    let log = [epoch(1, 50.0, true), epoch(2, 60.0, true), epoch(3, 40.0, false)];
    let log = log.map(|epoch| format!("{epoch}\n")).concat();
    fs::write(home.path().join("runs/prices/log.jsonl"), log).unwrap();
    let output = runs(home.path(), &["--format", "json"]);
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&run["best_epoch"], &run["value"]), (&json!(2), &json!(60.0)));
}

#[test]
fn the_table_and_csv_have_a_row_per_run() {
    let (home, _running) = home();
    let output = runs(home.path(), &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    let first = text.lines().nth(1).unwrap();
    assert!(
        first.starts_with("runs/early") && first.contains("top-1 90.00 %"),
        "{text}"
    );
    assert!(text.contains("Settings that differ:"), "{text}");
    let output = runs(home.path(), &["runs/old", "runs/finished", "--format", "csv"]);
    let csv = String::from_utf8(output.stdout).unwrap();
    assert_eq!(csv.lines().count(), 3, "{csv}");
    assert!(
        csv.lines()
            .nth(1)
            .unwrap()
            .starts_with("runs/finished,finished,classify,b0,64,2,2,2,top1,0.75,0.7,")
    );
}

#[test]
fn the_folds_of_equal_settings_have_a_mean() {
    let home = tempfile::tempdir().unwrap();
    let settings = |fold: u64, lr: f64, epochs: u32| {
        json!({"data": "photos", "task": "classify", "epochs": epochs, "model": "b0", "folds": 3, "fold": fold,
            "lr": lr})
    };
    for (name, settings, top1) in [
        ("1", settings(1, 0.1, 1), &[0.5][..]),
        ("2", settings(2, 0.1, 1), &[0.75]),
        ("3", settings(3, 0.1, 1), &[0.625]),
        ("lone", settings(1, 0.2, 1), &[0.9]),
        ("unfinished-1", settings(1, 0.3, 9), &[0.9]),
        ("unfinished-2", settings(2, 0.3, 9), &[0.8]),
    ] {
        add(home.path(), name, &settings, top1);
    }
    let text = String::from_utf8(runs(home.path(), &[]).stdout).unwrap();
    let means: Vec<&str> = text.lines().filter(|line| line.contains("mean of")).collect();
    assert_eq!(
        means,
        ["mean of 3 of 3 folds: top-1 62.50 %, standard deviation 12.50 %"],
        "{text}"
    );
}

#[test]
fn a_folder_without_runs_is_refused() {
    let home = tempfile::tempdir().unwrap();
    for (folder, expected) in [
        (".", "no run folder in it"),
        ("nowhere", "cannot read this folder"),
    ] {
        let output = runs(home.path(), &[folder]);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(expected));
    }
}
