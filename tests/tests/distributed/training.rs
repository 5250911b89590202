//! Trainers on several ranks are one on the joined batches.

use effnet_core::{Config, EfficientNet, Variant};
use effnet_train::{
    Batch, EmaOptions, Error, Freeze, OptimizerKind, ParamGroupOptions, Phase, Schedule, ScheduleShape,
    Targets, Trainer, TrainerOptions, Warmup,
};
use tch::{Device, Kind, Tensor, nn};
use torch_c10d::ProcessGroup;

use super::ranks::{all_succeed, group};

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);
const STEPS: u64 = 20;
const CLASSES: i64 = 5;

/// Small, and without anything that is drawn.
fn config() -> Config {
    Config {
        width_coefficient: 0.1,
        depth_coefficient: 0.3,
        depth_divisor: 4,
        image_size: [64, 64],
        num_classes: CLASSES as usize,
        dropout_rate: 0.0,
        drop_connect_rate: 0.0,
        ..Variant::B0.config()
    }
}

fn phase(freeze: Freeze, steps: u64) -> Phase {
    let groups = ParamGroupOptions::default().with_freeze(freeze);
    let warmup = Warmup { steps: 0, from: 0.0 };
    Phase {
        groups,
        optimizer: OptimizerKind::SGD,
        // Higher rates on random images make any two roundings part ways.
        schedule: Schedule::new(0.002, steps, ScheduleShape::Constant, warmup).unwrap(),
    }
}

fn trainer(seed: i64, phases: Vec<Phase>) -> Trainer {
    tch::manual_seed(seed);
    let store = nn::VarStore::new(Device::Cpu);
    let network = EfficientNet::new(&store.root(), &config()).unwrap();
    let options = TrainerOptions::default()
        .with_ema(EmaOptions::default().with_decay(0.9))
        .with_clip_norm(2.0);
    Trainer::new(network, options, phases).unwrap()
}

/// The images of a step. Every third batch is smaller: 11 instead of 12.
fn joined(step: u64) -> (Tensor, Tensor) {
    tch::manual_seed(1000 + step as i64);
    let images = if step % 3 == 2 { 11 } else { 12 };
    let images = Tensor::randn([images, 3, 64, 64], CPU);
    let classes = Tensor::randint(CLASSES, [images.size()[0]], (Kind::Int64, Device::Cpu));
    (images, classes)
}

/// What a rank has of them, as the loader deals them out, in `parts`.
fn own(step: u64, rank: usize, world_size: usize, parts: i64) -> Vec<Batch> {
    let (images, classes) = joined(step);
    let rows: Vec<i64> = (rank as i64..images.size()[0]).step_by(world_size).collect();
    let rows = Tensor::from_slice(&rows);
    let batch = |rows: Tensor| {
        let classes = Targets::Classes(classes.index_select(0, &rows));
        Batch::new(images.index_select(0, &rows), classes)
    };
    rows.chunk(parts, 0).into_iter().map(batch).collect()
}

/// The same but for the last digits: 1e-5 of the largest value, or 1e-6 where a parameter began at zero and
/// has hardly moved.
fn close(name: &str, found: &Tensor, expected: &Tensor) {
    let [found, expected] = [found, expected].map(|tensor| tensor.to_kind(Kind::Double));
    let largest = expected.abs().max().double_value(&[]);
    let error = (found - expected).abs().max().double_value(&[]);
    // Not `error > bound`: that lets a NaN pass.
    assert!(
        error <= (1e-5 * largest).max(1e-6),
        "{name}: {error:.1e} of {largest:.1e}"
    );
}

/// Trains alone on the joined batches, and in the group: all tensors of network and average are the same.
fn compare(group: &ProcessGroup, sync_batch_norm: bool, parts: i64, phases: fn() -> Vec<Phase>) {
    let mut alone = trainer(1, phases());
    let mut losses = Vec::new();
    for step in 0..STEPS {
        losses.push(alone.step(&own(step, 0, 1, 1)).unwrap().loss);
    }
    // Whatever the others begin with, they follow rank 0.
    let mut together = trainer(1 + group.rank() as i64, phases());
    together.join(group, sync_batch_norm).unwrap();
    for (step, expected) in losses.iter().enumerate() {
        let batch = own(step as u64, group.rank(), group.world_size(), parts);
        let loss = together.step(&batch).unwrap().loss;
        assert!(
            (loss - expected).abs() < 1e-5 * expected,
            "step {step}: {loss} for {expected}"
        );
    }
    for (found, expected) in [
        (together.network(), alone.network()),
        (together.evaluated(), alone.evaluated()),
    ] {
        for ((name, found), (_, expected)) in found.named_tensors().zip(expected.named_tensors()) {
            close(name, found, expected);
            let dense = found.contiguous();
            let all = group.all_gather(&dense).unwrap();
            assert!(
                all.iter().all(|other| other.equal(&dense)),
                "{name}: not the same bits"
            );
        }
    }
}

#[test]
fn weights_are_those_of_one_process_with_synchronised_normalisation() {
    match group() {
        Some(group) => compare(&group, true, 1, || vec![phase(Freeze::Nothing, STEPS)]),
        None => {
            for world_size in [1, 2, 3] {
                all_succeed(
                    "training::weights_are_those_of_one_process_with_synchronised_normalisation",
                    world_size,
                );
            }
        }
    }
}

#[test]
fn weights_are_those_of_one_process_with_frozen_features_and_several_parts() {
    match group() {
        Some(group) => compare(&group, false, 2, || vec![phase(Freeze::Features, STEPS)]),
        None => {
            for world_size in [2, 3] {
                all_succeed(
                    "training::weights_are_those_of_one_process_with_frozen_features_and_several_parts",
                    world_size,
                );
            }
        }
    }
}

#[test]
fn weights_are_those_of_one_process_over_two_phases() {
    let phases = || vec![phase(Freeze::Convolutions, 7), phase(Freeze::Nothing, STEPS - 7)];
    match group() {
        Some(group) => compare(&group, true, 1, phases),
        None => drop(all_succeed(
            "training::weights_are_those_of_one_process_over_two_phases",
            2,
        )),
    }
}

/// Each rank normalises its own images: not what one process does, but the same network everywhere.
#[test]
fn ranks_have_one_network_with_normalisation_of_their_own() {
    let Some(group) = group() else {
        all_succeed(
            "training::ranks_have_one_network_with_normalisation_of_their_own",
            3,
        );
        return;
    };
    let mut trainer = trainer(1, vec![phase(Freeze::Nothing, STEPS)]);
    trainer.join(&group, false).unwrap();
    for step in 0..5 {
        trainer
            .step(&own(step, group.rank(), group.world_size(), 1))
            .unwrap();
    }
    for (name, tensor) in trainer.network().named_tensors() {
        let dense = tensor.contiguous();
        let all = group.all_gather(&dense).unwrap();
        assert!(all.iter().all(|other| other.equal(&dense)), "{name}");
    }
}

/// A group that was stopped resumes with the bits of one that was not, though its reducer is a new one.
#[test]
fn a_group_goes_on_from_the_state_of_rank_0() {
    let Some(group) = group() else {
        all_succeed("training::a_group_goes_on_from_the_state_of_rank_0", 3);
        return;
    };
    let phases = || vec![phase(Freeze::Convolutions, 3), phase(Freeze::Nothing, STEPS)];
    let batch = |step| own(step, group.rank(), group.world_size(), 1);
    let mut whole = trainer(1, phases());
    whole.join(&group, false).unwrap();
    let mut saved = None;
    for step in 0..8 {
        if step == 5 && group.rank() == 0 {
            saved = Some(whole.state().unwrap());
        }
        whole.step(&batch(step)).unwrap();
    }
    let mut resumed = trainer(9, phases());
    if let Some(saved) = &saved {
        resumed.restore(saved).unwrap();
    }
    resumed.join(&group, false).unwrap();
    assert_eq!(resumed.position().step, 5);
    for step in 5..8 {
        resumed.step(&batch(step)).unwrap();
    }
    for (found, expected) in [
        (resumed.network(), whole.network()),
        (resumed.evaluated(), whole.evaluated()),
    ] {
        for ((name, found), (_, expected)) in found.named_tensors().zip(expected.named_tensors()) {
            assert!(found.equal(expected), "{name}");
        }
    }
}

#[test]
fn trainers_of_other_options_do_not_join() {
    let Some(group) = group() else {
        all_succeed("training::trainers_of_other_options_do_not_join", 2);
        return;
    };
    let freeze = [Freeze::Nothing, Freeze::Features][group.rank()];
    let error = trainer(1, vec![phase(freeze, STEPS)])
        .join(&group, false)
        .unwrap_err();
    assert!(matches!(error, Error::Disagreement { .. }), "{error}");
    let message = error.to_string();
    assert!(
        message.contains("phases: ") && message.contains("on rank 1"),
        "{message}"
    );
}

#[test]
fn a_rank_at_another_step_or_with_other_parts_is_refused() {
    let Some(group) = group() else {
        all_succeed(
            "training::a_rank_at_another_step_or_with_other_parts_is_refused",
            2,
        );
        return;
    };
    let mut trainer = trainer(1, vec![phase(Freeze::Nothing, STEPS)]);
    trainer.join(&group, false).unwrap();
    let parts = 1 + group.rank() as i64;
    let error = trainer.step(&own(0, group.rank(), 2, parts)).unwrap_err();
    assert!(matches!(error, Error::Disagreement { .. }), "{error}");
    assert!(
        error.to_string().contains("rank 1 is at step 0 with")
            && error.to_string().contains("in 2 batches, rank 0 is at step 0"),
        "{error}"
    );
}
