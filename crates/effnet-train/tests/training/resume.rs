use effnet::ModelMetadata;
use effnet_train::{
    Checkpointer, EmaOptions, Error, Freeze, OptimizerKind, ParamGroupOptions, Phase, Schedule,
    ScheduleShape, Snapshot, Trainer, TrainerOptions, Warmup,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use tch::Tensor;

use crate::{Turn, batch, first_difference, narrow, network, turn, values};

/// Everything that has state: two phases, dropout and drop connect, an average, clipping, a schedule.
fn trainer(kind: OptimizerKind, turn: &Turn) -> Trainer {
    trainer_of_steps(kind, 8, turn)
}

/// Like [`trainer`], with so many steps of the second phase.
fn trainer_of_steps(kind: OptimizerKind, second: u64, turn: &Turn) -> Trainer {
    let options = TrainerOptions::default()
        .with_clip_norm(1.0)
        .with_ema(EmaOptions::default().with_decay(0.99))
        .with_seed(11);
    let schedule = |steps| {
        Schedule::new(
            0.02,
            steps,
            ScheduleShape::ONE_CYCLE_WITH_MOMENTUM,
            Warmup { steps: 1, from: 0.0 },
        )
        .unwrap()
    };
    let head = ParamGroupOptions::default().with_freeze(Freeze::Convolutions);
    let phases = vec![
        Phase {
            groups: head,
            optimizer: kind,
            schedule: schedule(4),
        },
        Phase {
            groups: ParamGroupOptions::default(),
            optimizer: kind,
            schedule: schedule(second),
        },
    ];
    Trainer::new(network(&narrow(), 1, turn), options, phases).unwrap()
}

fn finish(trainer: &mut Trainer) {
    while !trainer.is_finished() {
        let position = trainer.position();
        trainer.step(&[batch(position.epoch_step as usize, 8)]).unwrap();
        if position.epoch_step + 1 == 3 {
            trainer.end_epoch();
        }
    }
}

fn save(trainer: &Trainer, folder: &Path, config: Value) {
    let snapshot = Snapshot {
        trainer: trainer.state().unwrap(),
        best: Some(0.1 + 0.2),
        config,
        notes: BTreeMap::from([("patience".to_owned(), "3".to_owned())]),
    };
    let mut checkpointer = Checkpointer::new(folder, ModelMetadata::default()).unwrap();
    checkpointer.save(&snapshot, false).unwrap();
}

fn everything(trainer: &Trainer) -> Vec<(String, Tensor)> {
    let mut all = values(trainer.network());
    all.extend(values(trainer.evaluated()));
    let optimizer = trainer.state().unwrap().optimizer;
    all.extend(
        optimizer
            .iter()
            .map(|(name, tensor)| (name.to_owned(), effnet_core::to_torch(tensor).unwrap())),
    );
    all
}

#[test]
fn a_run_that_is_resumed_at_any_step_ends_bit_for_bit_as_one_that_was_not() {
    let turn = turn();
    for kind in [
        OptimizerKind::SGD,
        OptimizerKind::ADAM_W,
        OptimizerKind::RMS_PROP_TF,
    ] {
        let mut straight = trainer(kind, &turn);
        finish(&mut straight);
        let expected = everything(&straight);
        // Within the first phase, at its end, in the second.
        for stop in [1, 4, 7, 11] {
            let folder = tempfile::tempdir().unwrap();
            let mut first = trainer(kind, &turn);
            while first.position().step < stop {
                let position = first.position();
                first.step(&[batch(position.epoch_step as usize, 8)]).unwrap();
                if position.epoch_step + 1 == 3 {
                    first.end_epoch();
                }
            }
            save(&first, folder.path(), json!({}));
            drop(first);
            let checkpointer = Checkpointer::new(folder.path(), ModelMetadata::default()).unwrap();
            let snapshot = checkpointer.resume(&json!({}), &[]).unwrap().unwrap();
            assert_eq!(
                (snapshot.best, snapshot.notes["patience"].as_str()),
                (Some(0.1 + 0.2), "3")
            );
            let mut second = trainer(kind, &turn);
            second.restore(&snapshot.trainer).unwrap();
            assert_eq!(second.position().step, stop);
            finish(&mut second);
            assert_eq!(
                first_difference(&expected, &everything(&second)),
                None,
                "{kind:?}, {stop}"
            );
            assert_eq!(second.running_loss(), straight.running_loss());
        }
    }
}

#[test]
fn a_finished_run_continues_with_the_rates_of_a_longer_schedule() {
    let turn = turn();
    let mut short = trainer(OptimizerKind::ADAM_W, &turn);
    finish(&mut short);
    let mut long = trainer_of_steps(OptimizerKind::ADAM_W, 20, &turn);
    long.restore(&short.state().unwrap()).unwrap();
    assert!(short.is_finished() && !long.is_finished());
    assert_eq!(first_difference(&everything(&short), &everything(&long)), None);
    let warmup = Warmup { steps: 1, from: 0.0 };
    let schedule = Schedule::new(0.02, 20, ScheduleShape::ONE_CYCLE_WITH_MOMENTUM, warmup).unwrap();
    for step in 8..20 {
        let taken = long.step(&[batch(step, 8)]).unwrap();
        assert_eq!(taken.rate, schedule.rate(step as u64));
    }
    assert!(long.is_finished());
}

#[test]
fn a_setting_that_came_later_had_its_default() {
    let turn = turn();
    let folder = tempfile::tempdir().unwrap();
    save(
        &trainer(OptimizerKind::SGD, &turn),
        folder.path(),
        json!({"lr": 0.1}),
    );
    let defaults = json!({"lr": 0.5, "teacher": "none"});
    let checkpointer = Checkpointer::new(folder.path(), ModelMetadata::default())
        .unwrap()
        .with_defaults(defaults.as_object().unwrap().clone());
    let resume = |config| checkpointer.resume(&config, &[]);
    assert!(resume(json!({"lr": 0.1, "teacher": "none"})).unwrap().is_some());
    assert!(resume(json!({"lr": 0.1, "teacher": "b7"})).is_err());
    assert!(resume(json!({"lr": 0.5, "teacher": "none"})).is_err());
}

#[test]
fn a_run_with_other_settings_is_told_what_differs() {
    let turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let saved = json!({"lr": 0.1, "workers": 2, "data": {"folder": "photos", "flip": true}, "epochs": 5});
    save(&trainer(OptimizerKind::SGD, &turn), folder.path(), saved);
    let checkpointer = Checkpointer::new(folder.path(), ModelMetadata::default()).unwrap();
    let current =
        json!({"lr": 0.2, "workers": 8, "data": {"folder": "photos", "flip": false}, "seed": 1, "epochs": 5});
    let error = checkpointer.resume(&current, &["workers"]).unwrap_err();
    let Error::ConfigMismatch { differences, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(
        differences,
        &[
            "data.flip: true in the checkpoint, false now",
            "lr: 0.1 in the checkpoint, 0.2 now",
            "seed: null in the checkpoint, 1 now",
        ]
    );
    assert!(
        error
            .to_string()
            .contains("last.state: was saved with different settings:\n  data.flip"),
        "{error}"
    );
}

#[test]
fn the_state_of_another_trainer_is_refused() {
    let turn = turn();
    let state = trainer(OptimizerKind::SGD, &turn).state().unwrap();
    let refusal = |mut other: Trainer| other.restore(&state).unwrap_err().to_string();
    assert!(refusal(trainer(OptimizerKind::ADAM_W, &turn)).contains("`_bn0.weight.exp_avg`"));
    let phases = vec![crate::phase(OptimizerKind::SGD, 0.1, 3)];
    let plain = Trainer::new(network(&narrow(), 1, &turn), TrainerOptions::default(), phases).unwrap();
    let error = refusal(plain);
    assert!(
        error.contains("it has an EMA of the weights, expected none"),
        "{error}"
    );
}
