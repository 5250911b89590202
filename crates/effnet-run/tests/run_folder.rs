//! The files of a run.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::Write;
use std::path::Path;

use effnet_data::metrics::{Metrics, Summary};
use effnet_data::{replace_file, write_confusion_csv};
use effnet_run::{EpochRecord, Log, Record, RunError, RunFolder, StepRecord, Validation};
use serde_json::{Value, json};
use test_support::names_in;

#[test]
fn a_log_that_goes_on_from_a_checkpoint_is_that_of_a_run_without_interruption() {
    let folder = tempfile::tempdir().unwrap();
    let record = |step: u64| json!({"step": step, "loss": 1.0 / step as f64});
    let whole = folder.path().join("whole.jsonl");
    let mut log = Log::create(&whole).unwrap();
    (1..=9).for_each(|step| log.append(&record(step)).unwrap());

    let path = folder.path().join("log.jsonl");
    let mut log = Log::create(&path).unwrap();
    (1..=4).for_each(|step| log.append(&record(step)).unwrap());
    let checkpoint = log.position();
    (5..=6).for_each(|step| log.append(&record(step)).unwrap());
    drop(log);
    // The process ended in the middle of a line.
    fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(b"{\"step\": 7, \"lo")
        .unwrap();

    let mut log = Log::resume(&path, checkpoint).unwrap();
    assert_eq!(log.position(), checkpoint);
    (5..=9).for_each(|step| log.append(&record(step)).unwrap());
    assert_eq!(fs::read(&path).unwrap(), fs::read(&whole).unwrap());
}

#[test]
fn a_record_is_in_the_file_when_append_returns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let mut log = Log::create(&path).unwrap();
    log.append(&json!({"a": 1})).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"a\":1}\n");
    assert_eq!(log.position(), 8);
}

#[test]
fn records_are_read_back_without_an_unfinished_last_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let records = [
        Record::Step(StepRecord {
            epoch: 1,
            step: 10,
            lr: 0.1,
            loss: 2.25,
        }),
        Record::Epoch(EpochRecord {
            epoch: 1,
            step: 12,
            lr: 0.05,
            train_loss: 2.0,
            validation: Some(Validation::Classes(Summary {
                images: 3,
                top1: 1.0 / 3.0,
                top5: 1.0,
                loss: 1.5,
                ece: 0.2,
            })),
            best: true,
        }),
        Record::Epoch(EpochRecord {
            epoch: 2,
            step: 24,
            lr: 0.0,
            train_loss: 1.0,
            validation: None,
            best: false,
        }),
    ];
    let mut log = Log::create(&path).unwrap();
    for record in &records {
        log.append(record).unwrap();
    }
    fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(b"{\"record\":")
        .unwrap();
    assert_eq!(Log::read::<Record>(&path).unwrap(), records);
}

#[test]
fn a_log_is_not_taken_for_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let mut log = Log::create(&path).unwrap();
    log.append(&json!({"step": 1})).unwrap();
    let position = log.position();
    assert!(matches!(
        Log::resume(&path, position + 1),
        Err(RunError::LogTooShort { .. })
    ));
    assert!(matches!(
        Log::resume(&path, position - 1),
        Err(RunError::LogMismatch { .. })
    ));
    assert!(matches!(Log::create(&path), Err(RunError::Io { .. })));
    assert_eq!(fs::metadata(&path).unwrap().len(), position);
}

#[test]
fn a_line_that_is_no_record_is_named_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    fs::write(&path, "no json\n").unwrap();
    let error = Log::read::<Value>(&path).unwrap_err().to_string();
    assert!(error.contains("log.jsonl") && error.contains("line 1"), "{error}");
}

#[test]
fn a_file_that_cannot_be_written_to_its_end_leaves_the_old_one_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    replace_file(&path, |file| file.write_all(b"old")).unwrap();
    let failed = replace_file(&path, |file| {
        file.write_all(&vec![0; 100_000])?;
        Err(std::io::ErrorKind::StorageFull.into())
    });
    let message = failed.unwrap_err().to_string();
    assert!(
        message.contains("config.json") && message.contains("space"),
        "{message}"
    );
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(names_in(folder.path()), ["config.json"]);
}

#[cfg(unix)]
#[test]
fn others_may_read_a_new_file_as_far_as_the_mask_lets_them() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    let (plain, replaced) = (folder.path().join("plain"), folder.path().join("replaced"));
    fs::write(&plain, "").unwrap();
    replace_file(&replaced, |_| Ok(())).unwrap();
    assert_eq!(mode(&replaced), mode(&plain));
}

#[test]
fn a_run_is_not_begun_where_another_one_lies() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/run");
    let run = RunFolder::create(&path).unwrap();
    run.write_config(&json!({"epochs": 3})).unwrap();
    drop(run);
    let error = RunFolder::create(&path).unwrap_err();
    assert!(matches!(error, RunError::Occupied { .. }));
    assert!(error.to_string().contains("--resume"), "{error}");
    let config: Value = RunFolder::open(&path).unwrap().read_config().unwrap();
    assert_eq!(config, json!({"epochs": 3}));
}

#[test]
fn only_one_process_trains_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunFolder::create(folder.path()).unwrap();
    assert!(matches!(
        RunFolder::create(folder.path()),
        Err(RunError::Locked { .. })
    ));
    run.write_config(&json!({})).unwrap();
    assert!(matches!(
        RunFolder::open(folder.path()),
        Err(RunError::Locked { .. })
    ));
    drop(run);
    RunFolder::open(folder.path()).unwrap();
}

#[test]
fn going_on_needs_a_run_and_removes_what_interrupted_writes_left() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        RunFolder::open(folder.path()),
        Err(RunError::NotARun { .. })
    ));
    for name in [
        "config.json",
        ".last.safetensors.77-0.part",
        "notes.part",
        ".hidden",
    ] {
        fs::write(folder.path().join(name), "{}").unwrap();
    }
    RunFolder::open(folder.path()).unwrap();
    assert_eq!(
        names_in(folder.path()),
        [".hidden", ".lock", "config.json", "notes.part"]
    );
}

#[test]
fn class_names_are_a_list_that_labels_can_be_read_from() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunFolder::create(folder.path()).unwrap();
    run.write_classes(&["cat".to_owned(), "Hündchen".to_owned()])
        .unwrap();
    let names: Value = serde_json::from_slice(&fs::read(run.classes()).unwrap()).unwrap();
    assert_eq!(names, json!(["cat", "Hündchen"]));
}

#[test]
fn a_confusion_table_has_the_true_classes_as_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("confusion.csv");
    let mut metrics = Metrics::new(2);
    for _ in 0..3 {
        metrics.push(&[0.0, 1.0], 0).unwrap();
    }
    let classes = ["cat, tabby".to_owned(), "dog".to_owned()];
    write_confusion_csv(&path, metrics.confusion(), &classes).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(
        text,
        "true \\ predicted,\"cat, tabby\",dog\n\"cat, tabby\",0,3\ndog,0,0\n"
    );
}
