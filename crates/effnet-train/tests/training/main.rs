//! The parts of a training run, separately and together, on networks that train in milliseconds.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod average;
mod checkpoints;
mod disks;
mod fit;
mod frozen;
mod groups;
mod kill;
mod loss;
mod modules;
mod optimizer;
mod precision;
mod range_test;
mod resume;
mod schedule;
mod trainer;

use std::sync::{Mutex, MutexGuard, PoisonError};

use effnet_core::{Config, EfficientNet, Variant};
use effnet_train::{
    Batch, OptimizerKind, ParamGroupOptions, Phase, Schedule, ScheduleShape, Targets, Warmup,
};
use tch::{Device, Kind, Tensor, nn};

/// libtorch has one generator per process: of the tests that run in parallel, only one at a time may seed it and
/// draw.
struct Turn {
    _guard: MutexGuard<'static, ()>,
}

fn turn() -> Turn {
    static TURN: Mutex<()> = Mutex::new(());
    let guard = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // The tests run in parallel: OpenMP threads that spin while waiting would slow each other down.
    tch::set_num_threads(1);
    Turn { _guard: guard }
}

/// Seven blocks of four to 32 channels.
fn narrow() -> Config {
    Config {
        width_coefficient: 0.1,
        depth_coefficient: 0.3,
        depth_divisor: 4,
        num_classes: 4,
        ..Variant::B0.config()
    }
}

fn network(config: &Config, seed: i64, _turn: &Turn) -> EfficientNet {
    tch::manual_seed(seed);
    let store = nn::VarStore::new(Device::Cpu);
    EfficientNet::new(&store.root(), config).unwrap()
}

/// `count` images of 32x32 pixels with the classes 0 to 3 in turn. Each class has its own colour and direction of waves,
/// with noise. Equal for equal `number`.
fn batch(number: usize, count: usize) -> Batch {
    let mut state = number as u32 + 1;
    let mut noise = move || {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    let mut values = Vec::with_capacity(count * 3 * 32 * 32);
    for image in 0..count {
        let class = image % 4;
        for channel in 0..3 {
            for y in 0..32 {
                for x in 0..32 {
                    let along = [x, y, x + y, 31 + x - y][class] as f32;
                    let wave = (along * 0.6 + channel as f32).sin();
                    values.push(wave + if channel == class { 0.5 } else { 0.0 } + 0.3 * noise());
                }
            }
        }
    }
    let classes: Vec<i64> = (0..count as i64).map(|image| image % 4).collect();
    Batch::new(
        Tensor::from_slice(&values).view([count as i64, 3, 32, 32]),
        Targets::Classes(Tensor::from_slice(&classes)),
    )
}

/// One phase at a constant learning rate.
fn phase(kind: OptimizerKind, rate: f64, steps: u64) -> Phase {
    Phase {
        groups: ParamGroupOptions::default(),
        optimizer: kind,
        schedule: Schedule::new(rate, steps, ScheduleShape::Constant, Warmup::default()).unwrap(),
    }
}

fn parameter(network: &EfficientNet, name: &str) -> Tensor {
    let (_, tensor) = network.named_tensors().find(|(own, _)| *own == name).unwrap();
    tensor.shallow_clone()
}

/// Copies of all tensors.
fn values(network: &EfficientNet) -> Vec<(String, Tensor)> {
    let copies = network
        .named_tensors()
        .map(|(name, tensor)| (name.to_owned(), tensor.detach().copy()));
    copies.collect()
}

/// The first tensor that differs in any bit.
fn first_difference(a: &[(String, Tensor)], b: &[(String, Tensor)]) -> Option<String> {
    assert_eq!(a.len(), b.len());
    let differs = |(a, b): &(&(String, Tensor), &(String, Tensor))| a.0 != b.0 || !a.1.equal(&b.1);
    a.iter().zip(b).find(differs).map(|(a, _)| a.0.clone())
}

fn close(found: f64, expected: f64) {
    let error = (found - expected).abs() / expected.abs().max(1e-12);
    assert!(error < 1e-5, "{found}, expected {expected}");
}

fn number(tensor: &Tensor) -> f64 {
    tensor.to_kind(Kind::Double).double_value(&[])
}
