use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use effnet::ModelMetadata;
use effnet_checkpoint::{Checkpoint, write_safetensors};
use effnet_core::{EfficientNet, LoadOptions};
use effnet_train::{Checkpointer, EmaOptions, OptimizerKind, Snapshot, THRESHOLDS, Trainer, TrainerOptions};
use serde_json::json;
use tch::{Device, nn};

use crate::{Turn, batch, first_difference, narrow, network, phase, turn, values};

pub(crate) fn trainer(turn: &Turn) -> Trainer {
    let ema = EmaOptions::default().with_decay(0.9);
    let options = TrainerOptions::default().with_ema(ema);
    Trainer::new(
        network(&narrow(), 1, turn),
        options,
        vec![phase(OptimizerKind::SGD, 0.05, 9)],
    )
    .unwrap()
}

pub(crate) fn checkpointer(folder: &Path) -> Checkpointer {
    let labels = ["ant", "bee", "cat", "dog"].map(str::to_owned).to_vec();
    let metadata = ModelMetadata::default().with_labels(labels).with_image_size(32);
    Checkpointer::new(folder, metadata).unwrap()
}

pub(crate) fn snapshot(trainer: &Trainer) -> Snapshot {
    let (config, notes) = (json!({"lr": 0.05}), BTreeMap::new());
    Snapshot {
        trainer: trainer.state().unwrap(),
        best: None,
        config,
        notes,
    }
}

fn weights(path: &Path) -> Vec<(String, tch::Tensor)> {
    let store = nn::VarStore::new(Device::Cpu);
    let file = Checkpoint::open(path).unwrap();
    let options = LoadOptions::default();
    let loaded = EfficientNet::from_state_dict(&store.root(), &narrow(), file.state_dict(), options);
    values(&loaded.unwrap())
}

#[test]
fn the_weight_files_hold_the_average_and_enough_to_classify() {
    let turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = trainer(&turn);
    trainer.step(&[batch(0, 8)]).unwrap();
    let mut checkpointer = checkpointer(folder.path());
    checkpointer.save(&snapshot(&trainer), true).unwrap();
    for path in [checkpointer.last(), checkpointer.best()] {
        let file = Checkpoint::open(&path).unwrap();
        let metadata = ModelMetadata::from_entries(file.metadata()).unwrap();
        assert_eq!(metadata.labels.unwrap()[1], "bee");
        assert_eq!(
            (metadata.image_size, file.metadata()["step"].as_str()),
            (Some(32), "1")
        );
        assert_eq!(
            first_difference(&weights(&path), &values(trainer.evaluated())),
            None
        );
    }
    assert!(first_difference(&weights(&checkpointer.last()), &values(trainer.network())).is_some());
}

#[test]
fn the_best_weights_stay_while_the_last_ones_move() {
    let turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = trainer(&turn);
    let mut checkpointer = checkpointer(folder.path());
    trainer.step(&[batch(0, 8)]).unwrap();
    checkpointer.save(&snapshot(&trainer), true).unwrap();
    let best = values(trainer.evaluated());
    trainer.step(&[batch(1, 8)]).unwrap();
    checkpointer.save(&snapshot(&trainer), false).unwrap();
    assert_eq!(first_difference(&weights(&checkpointer.best()), &best), None);
    assert_eq!(
        first_difference(&weights(&checkpointer.last()), &values(trainer.evaluated())),
        None
    );
}

#[test]
fn a_new_folder_has_nothing_to_resume() {
    let folder = tempfile::tempdir().unwrap();
    let checkpointer = checkpointer(&folder.path().join("not/yet/there"));
    assert!(checkpointer.resume(&json!({}), &[]).unwrap().is_none());
    assert_eq!(checkpointer.last_good(), None);
}

#[test]
fn weights_older_than_the_state_are_written_again_on_resume() {
    let turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = trainer(&turn);
    let mut first = checkpointer(folder.path());
    first.save(&snapshot(&trainer), false).unwrap();
    let old = fs::read(first.last()).unwrap();
    trainer.step(&[batch(0, 8)]).unwrap();
    first.save(&snapshot(&trainer), false).unwrap();
    // What a kill between the two renames leaves.
    fs::write(first.last(), old).unwrap();
    let second = checkpointer(folder.path());
    second.resume(&json!({"lr": 0.05}), &[]).unwrap().unwrap();
    assert_eq!(
        first_difference(&weights(&second.last()), &values(trainer.evaluated())),
        None
    );
}

fn entry(path: &Path, key: &str) -> String {
    Checkpoint::open(path).unwrap().metadata()[key].clone()
}

#[test]
fn a_step_that_was_saved_before_its_epoch_ended_is_written_again_on_resume() {
    let turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = trainer(&turn);
    trainer.step(&[batch(0, 8)]).unwrap();
    let mut first = checkpointer(folder.path());
    first.save(&snapshot(&trainer), false).unwrap();
    let old = fs::read(first.last()).unwrap();
    trainer.end_epoch();
    let mut ended = snapshot(&trainer);
    ended.notes.insert(THRESHOLDS.to_owned(), "[0.25,0.5]".to_owned());
    first.save(&ended, false).unwrap();
    fs::write(first.last(), old).unwrap();
    let second = checkpointer(folder.path());
    second.resume(&json!({"lr": 0.05}), &[]).unwrap().unwrap();
    assert_eq!(
        (
            &*entry(&second.last(), "epoch"),
            &*entry(&second.last(), THRESHOLDS)
        ),
        ("1", "[0.25,0.5]")
    );
}

#[test]
fn best_weights_that_were_not_written_any_more_are_written_on_resume() {
    let turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = trainer(&turn);
    let mut first = checkpointer(folder.path());
    trainer.step(&[batch(0, 8)]).unwrap();
    first.save(&snapshot(&trainer), true).unwrap();
    let old = fs::read(first.best()).unwrap();
    trainer.step(&[batch(1, 8)]).unwrap();
    first.save(&snapshot(&trainer), true).unwrap();
    let best = fs::read(first.best()).unwrap();
    // What a kill after the state leaves.
    fs::write(first.best(), &old).unwrap();
    let resume = || checkpointer(folder.path()).resume(&json!({"lr": 0.05}), &[]);
    resume().unwrap().unwrap();
    assert!(fs::read(first.best()).unwrap() == best);
    // Steps that are not the best ones leave them alone.
    trainer.step(&[batch(2, 8)]).unwrap();
    first.save(&snapshot(&trainer), false).unwrap();
    resume().unwrap().unwrap();
    assert!(fs::read(first.best()).unwrap() == best);
}

#[test]
fn what_a_killed_write_left_is_removed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let left = [".last.state.123-0.part", ".best.safetensors.9-4.part"];
    let kept = [".notes.123-0.part", "last.state.part", ".last.state.bak"];
    for name in left.iter().chain(&kept) {
        fs::write(folder.path().join(name), "cut short").unwrap();
    }
    checkpointer(folder.path());
    assert!(left.iter().all(|name| !folder.path().join(name).exists()));
    assert!(kept.iter().all(|name| folder.path().join(name).exists()));
}

#[test]
fn a_state_that_is_none_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.state");
    let refusal = || {
        let error = checkpointer(folder.path())
            .resume(&json!({}), &[])
            .unwrap_err()
            .to_string();
        assert!(error.contains("last.state"), "{error}");
        error
    };
    fs::write(&path, b"not a checkpoint").unwrap();
    assert!(refusal().contains("not a checkpoint"));
    let tensors = network(&narrow(), 1, &turn()).state_dict().unwrap();
    write_safetensors(&path, &tensors, &BTreeMap::new()).unwrap();
    assert!(refusal().contains("the metadata entry `effnet_training` is missing"));
    let progress = BTreeMap::from([("effnet_training".to_owned(), r#"{"version": 1}"#.to_owned())]);
    write_safetensors(&path, &tensors, &progress).unwrap();
    assert!(refusal().contains("`effnet_training` is invalid: missing field `position`"));
}

#[test]
fn a_truncated_state_is_refused() {
    let turn = turn();
    let folder = tempfile::tempdir().unwrap();
    checkpointer(folder.path())
        .save(&snapshot(&trainer(&turn)), false)
        .unwrap();
    let path = folder.path().join("last.state");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 100]).unwrap();
    let error = checkpointer(folder.path())
        .resume(&json!({"lr": 0.05}), &[])
        .unwrap_err();
    assert!(error.to_string().contains("truncated"), "{error}");
}
