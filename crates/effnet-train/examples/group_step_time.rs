//! Measures the training speed of the group that this process was started in, or of this process alone:
//! `group_step_time VARIANT BATCH SIZE SECONDS [sync-bn]` takes steps on `BATCH` random images per rank for
//! `SECONDS`, and rank 0 prints the images per second of all ranks together.
//!
//! `group_step_time all-reduce MIB ROUNDS` measures an all-reduce of `MIB` MiB instead, and
//! `group_step_time overhead VARIANT BATCH SIZE STEPS` the overhead of the group: it alternates between a trainer
//! that has joined it and one that has not.
//!
//! `EFFNET_THREADS` is the number of threads per rank, 1 by default. scripts/bench/data-parallel starts it.

#![allow(clippy::print_stdout)]

use std::env;
use std::error::Error;
use std::time::{Duration, Instant};

use effnet_core::{EfficientNet, Variant};
use effnet_train::{
    Batch, OptimizerKind, ParamGroupOptions, Phase, Schedule, ScheduleShape, Targets, Trainer,
    TrainerOptions, Warmup,
};
use launch_environment::Environment;
use tch::{Device, Kind, Tensor, nn};
use torch_c10d::{ProcessGroup, ProcessGroupOptions, Reduction};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    tch::set_num_threads(env::var("EFFNET_THREADS").map_or(Ok(1), |threads| threads.parse())?);
    libtorch_ext::keep_freed_memory();
    let group = Environment::from_env()?
        .map(|environment| ProcessGroup::connect(&environment, &ProcessGroupOptions::default()))
        .transpose()?;
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match (arguments.as_slice(), &group) {
        (["all-reduce", mebibytes, rounds], Some(group)) => {
            time_all_reduce(group, mebibytes.parse()?, rounds.parse()?)
        }
        (["overhead", variant, batch, size, steps], Some(group)) => {
            let trainers = [
                trainer(variant, None, false)?,
                trainer(variant, Some(group), false)?,
            ];
            compare(trainers, &batches(batch.parse()?, size.parse()?), steps.parse()?)
        }
        ([variant, batch, size, seconds, rest @ ..], _) => {
            let trainer = trainer(variant, group.as_ref(), rest.contains(&"sync-bn"))?;
            let seconds = Duration::from_secs_f64(seconds.parse()?);
            time_steps(trainer, batch.parse()?, size.parse()?, seconds)
        }
        _ => Err("usage: group_step_time VARIANT BATCH SIZE SECONDS [sync-bn]".into()),
    }
}

fn trainer(variant: &str, group: Option<&ProcessGroup>, sync_batch_norm: bool) -> Outcome<Trainer> {
    let store = nn::VarStore::new(Device::Cpu);
    let network = EfficientNet::new(&store.root(), &variant.parse::<Variant>()?.config())?;
    let phase = Phase {
        groups: ParamGroupOptions::default(),
        optimizer: OptimizerKind::SGD,
        schedule: Schedule::new(0.01, u64::MAX, ScheduleShape::Constant, Warmup::default())?,
    };
    let mut trainer = Trainer::new(network, TrainerOptions::default(), vec![phase])?;
    if let Some(group) = group {
        trainer.join(group, sync_batch_norm)?;
    }
    Ok(trainer)
}

fn batches(batch: i64, size: i64) -> [Batch; 1] {
    let images = Tensor::randn([batch, 3, size, size], (Kind::Float, Device::Cpu));
    let classes = Tensor::arange(batch, (Kind::Int64, Device::Cpu));
    [Batch::new(images, Targets::Classes(classes))]
}

fn compare(mut trainers: [Trainer; 2], batches: &[Batch], steps: usize) -> Outcome<()> {
    let mut ratios = Vec::with_capacity(steps);
    for step in 0..steps + 2 {
        let mut times = [0.0; 2];
        // They take turns in going first.
        for place in [step % 2, (step + 1) % 2] {
            let begin = Instant::now();
            trainers[place].step(batches)?;
            times[place] = begin.elapsed().as_secs_f64();
        }
        if step >= 2 {
            ratios.push(times[1] / times[0]);
        }
    }
    ratios.sort_by(f64::total_cmp);
    let at = |quantile: f64| 100.0 * (ratios[((steps - 1) as f64 * quantile).round() as usize] - 1.0);
    println!(
        "a step in the group takes {:+.1} % more, quartiles {:+.1} and {:+.1}, {steps} pairs",
        at(0.5),
        at(0.25),
        at(0.75)
    );
    Ok(())
}

fn time_steps(mut trainer: Trainer, batch: i64, size: i64, duration: Duration) -> Outcome<()> {
    let batches = batches(batch, size);
    for _ in 0..2 {
        trainer.step(&batches)?;
    }
    let (begin, mut images, mut times) = (Instant::now(), 0, Vec::new());
    loop {
        let step = Instant::now();
        images += trainer.step(&batches)?.images;
        times.push(step.elapsed().as_secs_f64() * 1e3);
        // All ranks take the same number of steps.
        let is_over = begin.elapsed() >= duration;
        let is_over = trainer.group().map_or(Ok(is_over), |group| group.any(is_over))?;
        if is_over {
            break;
        }
    }
    let speed = images as f64 / begin.elapsed().as_secs_f64();
    let (rank, ranks) = trainer
        .group()
        .map_or((0, 1), |group| (group.rank(), group.world_size()));
    if rank == 0 {
        times.sort_by(f64::total_cmp);
        let at = |quantile: f64| times[((times.len() - 1) as f64 * quantile).round() as usize];
        println!(
            "{ranks} ranks: {speed:.2} images/s, step p10 {:.1} ms, median {:.1}, p90 {:.1}, {} steps",
            at(0.1),
            at(0.5),
            at(0.9),
            times.len()
        );
    }
    Ok(())
}

fn time_all_reduce(group: &ProcessGroup, mebibytes: i64, rounds: usize) -> Outcome<()> {
    let tensor = Tensor::zeros([mebibytes << 18], (Kind::Float, Device::Cpu));
    group.all_reduce(&tensor, Reduction::Sum)?;
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let begin = Instant::now();
        group.all_reduce(&tensor, Reduction::Sum)?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    if group.rank() == 0 {
        let median = times[times.len() / 2];
        println!("{} ranks: {mebibytes} MiB in {median:.2} ms", group.world_size());
    }
    Ok(())
}
