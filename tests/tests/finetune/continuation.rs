//! Runs that are resumed with more epochs, or with more patience.

use std::fs;

use serde_json::Value;

use super::resume::{results, start, wait_for_steps};
use super::{Home, QUICK, refused, resuming, succeeded};

/// Two phases, an average and several steps per epoch, each in the log.
const SETTINGS: [&str; 12] = [
    "--head-epochs",
    "1",
    "--batch-size",
    "4",
    "--ema",
    "0.9",
    "--log-steps",
    "1",
    "--save-steps",
    "1",
    "--report",
    "false",
];

impl Home {
    fn train_with(&self, arguments: &[&str]) {
        succeeded(&self.run(&[&QUICK[..], &SETTINGS, arguments].concat()));
    }

    fn config(&self, run: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(run).join("config.json")).unwrap()).unwrap()
    }

    /// The learning rate of each step in the log of a run.
    fn rates(&self, run: &str) -> Vec<f64> {
        let records = self.records(run);
        let steps = records.iter().filter(|record| record["record"] == "step");
        steps.map(|record| record["lr"].as_f64().unwrap()).collect()
    }

    fn epochs(&self, run: &str) -> usize {
        let records = self.records(run);
        records
            .iter()
            .filter(|record| record["record"] == "epoch")
            .count()
    }
}

#[test]
fn a_finished_run_continues_with_the_learning_rates_of_a_longer_one() {
    let home = Home::with_photos(6);
    home.train_with(&["--epochs", "2", "--output", "run"]);
    home.train_with(&["--epochs", "4", "--output", "long"]);
    let before = home.records("run");
    let resumed = home.resume("run", &["--epochs", "4"]);
    succeeded(&resumed);
    for words in [
        "epoch 3/4, step 1/",
        "4 epochs instead of 2: from here on, the learning rate is that of a one-cycle schedule of 4 epochs",
    ] {
        assert!(resumed.stderr.contains(words), "`{words}` in {}", resumed.stderr);
    }
    assert_eq!(home.records("run")[..before.len()], before);
    assert_eq!(
        (home.epochs("run"), home.config("run")["epochs"].as_u64()),
        (4, Some(4))
    );
    let (run, long) = (home.rates("run"), home.rates("long"));
    let half = run.len() / 2;
    assert_eq!(run.len(), long.len());
    assert_eq!(run[half..], long[half..]);
    assert_ne!(run[..half], long[..half]);

    let after = results(&home.path("run"));
    let finished = home.resume("run", &[]);
    succeeded(&finished);
    for words in ["finished after 4 epochs", "effnet train --resume run --epochs 8"] {
        assert!(
            finished.stderr.contains(words),
            "`{words}` in {}",
            finished.stderr
        );
    }
    assert_eq!(results(&home.path("run")), after);
}

#[test]
fn a_run_whose_only_epoch_left_none_for_the_classifier_continues() {
    let home = Home::with_photos(4);
    home.train_with(&["--epochs", "1", "--output", "run"]);
    assert_eq!(home.config("run")["head_epochs"], 1);
    succeeded(&home.resume("run", &["--epochs", "3"]));
    assert_eq!(home.epochs("run"), 3);
    assert_eq!(home.config("run")["head_epochs"], 0);
}

#[test]
fn a_continued_run_that_is_killed_ends_as_one_that_was_not() {
    let home = Home::with_photos(6);
    home.train_with(&["--epochs", "1", "--output", "run"]);
    let copy = |from: &str, to: &str| {
        fs::create_dir(home.path(to)).unwrap();
        for entry in fs::read_dir(home.path(from)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), home.path(to).join(entry.file_name())).unwrap();
        }
    };
    copy("run", "whole");
    succeeded(&home.run(&[
        "train",
        "--resume",
        "whole",
        "--epochs",
        "4",
        "--device",
        "cpu",
        "--threads",
        "1",
    ]));
    let lines = home.records("run").len();
    let mut child = start(&mut home.command(&[&resuming("run")[..], &["--epochs", "4"]].concat()));
    wait_for_steps(&mut child, &home.path("run/log.jsonl"), lines + 2);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(home.config("run")["epochs"], 4);
    succeeded(&home.resume("run", &[]));
    assert_eq!(results(&home.path("run")), results(&home.path("whole")));
}

#[test]
fn a_kill_between_the_settings_and_the_checkpoint_of_a_continued_run_does_no_harm() {
    let home = Home::with_photos(4);
    home.train_with(&["--epochs", "1", "--output", "run"]);
    let state = fs::read(home.path("run/last.state")).unwrap();
    let log = fs::read(home.path("run/log.jsonl")).unwrap();
    succeeded(&home.resume("run", &["--epochs", "2"]));
    let expected = results(&home.path("run"));
    fs::write(home.path("run/last.state"), state).unwrap();
    fs::write(home.path("run/log.jsonl"), log).unwrap();
    succeeded(&home.resume("run", &[]));
    assert_eq!(results(&home.path("run")), expected);
}

#[test]
fn fewer_epochs_are_refused_and_other_settings_still_are() {
    let home = Home::with_photos(4);
    home.train_with(&["--epochs", "2", "--output", "run"]);
    let before = results(&home.path("run"));
    refused(
        &home.resume("run", &["--epochs", "1"]),
        &["--epochs 1", "2 epochs", "larger"],
    );
    let other = home.resume("run", &["--epochs", "4", "--lr", "0.5"]);
    refused(&other, &["lr: 0.001 in the checkpoint, 0.5 now"]);
    let other = home.resume("run", &["--epochs", "4", "--head-epochs", "2"]);
    refused(&other, &["head_epochs: 1 in the checkpoint, 2 now"]);
    let other = home.resume("run", &["--patience", "3"]);
    refused(&other, &["patience: 0 in the checkpoint, 3 now"]);
    assert_eq!(results(&home.path("run")), before);
    assert_eq!(home.config("run")["epochs"], 2);
}

#[test]
fn a_run_with_more_patience_is_the_one_that_it_would_have_been() {
    let home = Home::with_photos(4);
    // With a frozen network and hardly a learning rate, no epoch is better than the first.
    let stuck = |patience, output| {
        let settings = [
            "--freeze",
            "features",
            "--lr",
            "1e-12",
            "--ema",
            "0",
            "--epochs",
            "9",
            "--patience",
            patience,
            "--output",
            output,
        ];
        home.train_with(&settings);
    };
    stuck("1", "run");
    stuck("3", "patient");
    assert_eq!((home.epochs("run"), home.epochs("patient")), (2, 4));
    let longer = home.resume("run", &["--epochs", "20"]);
    succeeded(&longer);
    for words in [
        "stopped early (--patience 1)",
        "effnet train --resume run --patience 2",
    ] {
        assert!(longer.stderr.contains(words), "`{words}` in {}", longer.stderr);
    }
    assert_eq!(
        (home.epochs("run"), home.config("run")["epochs"].as_u64()),
        (2, Some(9))
    );
    let resumed = home.resume("run", &["--patience", "3"]);
    succeeded(&resumed);
    assert!(
        resumed
            .stderr
            .contains("early stopping after 3 epochs without improvement (--patience 3)"),
        "{}",
        resumed.stderr
    );
    assert_eq!(results(&home.path("run")), results(&home.path("patient")));
    succeeded(&home.resume("run", &["--patience", "0"]));
    assert_eq!(home.epochs("run"), 9);
}
