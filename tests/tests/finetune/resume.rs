//! Trainings that are interrupted, and go on as if they had not been.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use effnet_checkpoint::{Checkpoint, write_safetensors};
use effnet_tests::{finish, interrupt};

use super::{Home, Labelling, QUICK, refused, succeeded, write_images};

/// Several steps an epoch, saved after each second one, with everything that has a state: two phases,
/// an average, mixup, augmentation, dropout, a momentum of the step.
pub(super) const EVERYTHING: [&str; 22] = [
    "--epochs",
    "3",
    "--batch-size",
    "4",
    "--head-epochs",
    "1",
    "--ema",
    "0.9",
    "--mixup",
    "0.3",
    "--augment",
    "randaugment",
    "--save-steps",
    "2",
    "--log-steps",
    "1",
    "--clip",
    "1",
    "--color-jitter",
    "0.1",
    "--cycle-momentum",
    "true",
];

fn arguments<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&QUICK[..], &EVERYTHING, more].concat()
}

/// What has to be the same in the end: the weights and the log.
pub(super) fn results(run: &Path) -> [Vec<u8>; 3] {
    ["best.safetensors", "last.safetensors", "log.jsonl"].map(|name| fs::read(run.join(name)).unwrap())
}

pub(super) fn start(command: &mut Command) -> Child {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits for the first record in the log, or for the end.
pub(super) fn wait_for_steps(child: &mut Child, log: &Path, lines: usize) {
    let begin = Instant::now();
    while child.try_wait().unwrap().is_none() && begin.elapsed() < Duration::from_secs(120) {
        if fs::read_to_string(log).is_ok_and(|text| text.lines().count() >= lines) {
            return;
        }
        sleep(Duration::from_millis(5));
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_saves_and_says_how_to_go_on() {
    let home = Home::with_photos(6);
    succeeded(&home.run(&arguments(&["--output", "whole"])));
    let mut child = home
        .command(&arguments(&["--output", "run"]))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_steps(&mut child, &home.path("run/log.jsonl"), 3);
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(
        stderr.contains("resume with `effnet train --resume run`"),
        "{stderr}"
    );
    succeeded(&finish(&mut home.command(&[
        "train",
        "--resume",
        "run",
        "--device",
        "cpu",
        "--threads",
        "1",
    ])));
    assert_eq!(results(&home.path("run")), results(&home.path("whole")));
}

/// Weights of 32 pixels whose preprocessing resizes the short side to `resize_size`.
fn write_weights_with_short_side(home: &Home, to: &str, resize_size: u32) {
    succeeded(&home.train(&["--output", "base", "--epochs", "1"]));
    let file = Checkpoint::open(home.path("base/last.safetensors")).unwrap();
    let mut metadata = file.metadata().clone();
    metadata.remove("crop_pct");
    metadata.insert("crop_mode".to_owned(), "center".to_owned());
    metadata.insert("resize_size".to_owned(), resize_size.to_string());
    write_safetensors(home.path(to), file.state_dict(), &metadata).unwrap();
}

#[test]
fn a_run_keeps_the_preprocessing_of_the_weights_that_it_was_started_from() {
    let home = Home::with_photos(6);
    // 32 / 54 of an image is cropped otherwise than a crop of 32 of 54 pixels.
    write_weights_with_short_side(&home, "weights.safetensors", 54);
    let settings = [
        "--weights",
        "weights.safetensors",
        "--image-size",
        "auto",
        "--save-steps",
        "1",
        "--log-steps",
        "1",
    ];
    let arguments = |output| [&QUICK[..2], &QUICK[4..], &settings, &["--output", output]].concat();
    succeeded(&home.run(&arguments("whole")));
    let mut child = start(&mut home.command(&arguments("killed")));
    wait_for_steps(&mut child, &home.path("killed/log.jsonl"), 1);
    child.kill().unwrap();
    child.wait().unwrap();
    succeeded(&home.resume("killed", &[]));
    assert_eq!(results(&home.path("killed")), results(&home.path("whole")));
    let file = Checkpoint::open(home.path("killed/best.safetensors")).unwrap();
    assert_eq!(file.metadata()["resize_size"], "54");
}

#[test]
fn a_run_does_not_go_on_with_other_labels() {
    let home = Home::with_table(18, Labelling::Number);
    let mut arguments = [&QUICK[..], &["--epochs", "1", "--output", "run"]].concat();
    arguments[1] = "table.csv";
    succeeded(&home.run(&arguments));
    let table = fs::read_to_string(home.path("table.csv")).unwrap();
    let (header, rows) = table.split_once('\n').unwrap();
    let dearer: Vec<String> = rows.lines().map(|row| format!("{row}5")).collect();
    let further = || home.resume("run", &["--epochs", "2"]);
    fs::write(
        home.path("table.csv"),
        format!("{header}\n{}\n", dearer.join("\n")),
    )
    .unwrap();
    refused(&further(), &["table.csv: the images or their labels differ"]);
    fs::write(home.path("table.csv"), &table).unwrap();
    succeeded(&further());
}

#[test]
fn a_run_that_was_killed_before_its_report_gets_it_on_resume() {
    let home = Home::with_photos(4);
    succeeded(&home.train(&["--output", "run", "--epochs", "1"]));
    fs::remove_file(home.path("run/report.html")).unwrap();
    let run = home.resume("run", &[]);
    succeeded(&run);
    assert!(run.stderr.contains("nothing to resume"), "{}", run.stderr);
    assert!(home.path("run/report.html").exists());
}

#[test]
fn a_run_that_goes_on_with_other_threads_says_so() {
    let home = Home::with_photos(4);
    succeeded(&home.train(&["--output", "run", "--epochs", "1"]));
    let run = home.resume("run", &["--epochs", "2", "--threads", "2"]);
    succeeded(&run);
    assert!(
        run.stderr
            .contains("until now, it was trained with cpu, 1 thread, fp32"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_run_does_not_go_on_with_other_settings_and_says_which() {
    let home = Home::with_photos(4);
    succeeded(&home.train(&["--output", "run", "--epochs", "1"]));
    let before = results(&home.path("run"));
    let run = home.run(&[
        "train", "--resume", "run", "--lr", "0.5", "--mixup", "0.1", "--device", "cpu",
    ]);
    refused(
        &run,
        &[
            "lr: 0.001 in the checkpoint, 0.5 now",
            "mixup: 0.0 in the checkpoint, 0.1 now",
        ],
    );
    assert_eq!(results(&home.path("run")), before);
}

#[test]
fn a_run_does_not_go_on_with_other_classes() {
    let home = Home::with_photos(4);
    succeeded(&home.train(&["--output", "run", "--epochs", "1"]));
    write_images(&home.path("photos/circles"), 1, 4);
    refused(
        &home.run(&["train", "--resume", "run", "--device", "cpu"]),
        &["its classes differ from those of the run"],
    );
}

#[test]
fn a_finished_run_has_nothing_left_to_do() {
    let home = Home::with_photos(4);
    succeeded(&home.train(&["--output", "run", "--epochs", "1"]));
    let before = results(&home.path("run"));
    let run = home.resume("run", &[]);
    succeeded(&run);
    assert_eq!(run.stdout, "run/best.safetensors\n");
    assert_eq!(results(&home.path("run")), before);
}

#[test]
fn a_finished_run_is_trained_further_by_the_command_that_it_prints() {
    let home = Home::with_photos(4);
    succeeded(&home.train(&["--output", "run", "--epochs", "1", "--model", "lite0"]));
    let finished = home.resume("run", &[]);
    let (_, advice) = finished.stderr.split_once("from its weights: effnet ").unwrap();
    let printed = advice.split_whitespace();
    let short = [
        "--epochs",
        "1",
        "--output",
        "further",
        "--device",
        "cpu",
        "--threads",
        "1",
    ];
    succeeded(&home.run(&printed.chain(short).collect::<Vec<_>>()));
    let config = std::fs::read(home.path("further/config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["model"], "lite0");
}

#[test]
fn equal_seeds_give_equal_runs_whatever_the_workers_and_others_give_others() {
    let home = Home::with_photos(6);
    let of = |output: &str, seed: &str, workers: &str| {
        let arguments = [
            "--output",
            output,
            "--seed",
            seed,
            "--workers",
            workers,
            "--augment",
            "randaugment",
        ];
        succeeded(&home.train(&arguments));
        results(&home.path(output))
    };
    let first = of("a", "5", "1");
    assert_eq!(of("b", "5", "3"), first);
    assert_ne!(of("c", "6", "1"), first);
}

#[test]
fn a_folder_without_a_run_is_refused() {
    let home = Home::with_photos(1);
    let run = home.run(&["train", "--resume", "photos", "--device", "cpu"]);
    refused(&run, &["photos", "not a run folder"]);
}

#[test]
fn the_log_has_no_clock_in_it() {
    let home = Home::with_photos(4);
    succeeded(&home.train(&["--output", "run", "--log-steps", "1"]));
    let records = home.records("run");
    let names = |kind: &str| {
        let record = records.iter().find(|record| record["record"] == kind).unwrap();
        record.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(names("step"), ["epoch", "loss", "lr", "record", "step"]);
    assert_eq!(
        names("epoch"),
        [
            "best",
            "epoch",
            "lr",
            "record",
            "step",
            "train_loss",
            "validation"
        ]
    );
}
