//! Measures the time of a training step: `step_time VARIANT BATCH SIZE STEPS [fp32|bf16]` prints the median,
//! 10th and 90th percentile in milliseconds and the peak memory in MiB. Weights and images are random; the
//! optimizer is SGD with momentum.
//!
//! With `EFFNET_SERVE` set, it takes one step per line on stdin instead and answers each with its
//! milliseconds, so that a driver can alternate between programs; it says how long the first step took. `EFFNET_THREADS` is the number of
//! threads, 2 by default. With `EFFNET_DEVICE` set to `cuda:N`, the steps run there, with the images there already.

#![allow(clippy::print_stdout)]

use std::env;
use std::error::Error;
use std::io::BufRead;
use std::time::Instant;

use effnet_core::{EfficientNet, Variant};
use effnet_train::{
    Batch, OptimizerKind, ParamGroupOptions, Phase, Precision, Schedule, ScheduleShape, Targets, Trainer,
    TrainerOptions, Warmup,
};
use tch::{Device, Kind, Tensor, nn};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [variant, batch, size, steps, rest @ ..] = arguments.as_slice() else {
        return Err("usage: step_time VARIANT BATCH SIZE STEPS [fp32|bf16]".into());
    };
    let (batch, size, steps): (i64, i64, usize) = (batch.parse()?, size.parse()?, steps.parse()?);
    let precision = match rest.first().map_or("fp32", String::as_str) {
        "fp32" => Precision::Fp32,
        "bf16" => Precision::Bf16,
        other => return Err(format!("unknown precision {other}").into()),
    };
    let device = device()?;
    tch::set_num_threads(env::var("EFFNET_THREADS").map_or(Ok(2), |threads| threads.parse())?);
    libtorch_ext::keep_freed_memory();

    let store = nn::VarStore::new(device);
    let network = EfficientNet::new(&store.root(), &variant.parse::<Variant>()?.config())?;
    let phase = Phase {
        groups: ParamGroupOptions::default(),
        optimizer: OptimizerKind::SGD,
        schedule: Schedule::new(0.01, u64::MAX, ScheduleShape::Constant, Warmup::default())?,
    };
    let options = TrainerOptions::default().with_precision(precision);
    let mut trainer = Trainer::new(network, options, vec![phase])?;
    let images = Tensor::randn([batch, 3, size, size], (Kind::Float, device));
    let targets = Targets::Classes(Tensor::arange(batch, (Kind::Int64, device)));
    let batches = [Batch::new(images, targets)];
    let mut timed = || -> Result<f64, effnet_train::Error> {
        let start = Instant::now();
        trainer.step(&batches)?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    };

    let first = timed()?;
    if env::var_os("EFFNET_SERVE").is_some() {
        println!("ready {first}");
        for line in std::io::stdin().lock().lines() {
            line?;
            println!("{}", timed()?);
        }
        return Ok(());
    }
    let mut times = (0..steps.max(1))
        .map(|_| timed())
        .collect::<Result<Vec<_>, _>>()?;
    times.sort_by(f64::total_cmp);
    let at = |quantile: f64| times[((times.len() - 1) as f64 * quantile).round() as usize];
    println!(
        "{variant} batch {batch} size {size} {}: median {:.0} ms, p10 {:.0}, p90 {:.0}, peak {} MiB",
        precision.name(),
        at(0.5),
        at(0.1),
        at(0.9),
        peak_memory()?
    );
    Ok(())
}

/// The device that `EFFNET_DEVICE` names.
fn device() -> Result<Device, Box<dyn Error>> {
    let name = env::var("EFFNET_DEVICE").unwrap_or_else(|_| "cpu".to_owned());
    if name == "cpu" {
        return Ok(Device::Cpu);
    }
    let index = name
        .strip_prefix("cuda:")
        .ok_or("EFFNET_DEVICE: expected cpu or cuda:N")?;
    // This must precede the first tensor: libtorch looks for CUDA only once.
    if !libtorch_ext::load_cuda(None)? {
        return Err("no CUDA driver".into());
    }
    libtorch_ext::allow_tf32(false);
    Ok(Device::Cuda(index.parse()?))
}

/// The peak memory of this process, in MiB.
fn peak_memory() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line
        .and_then(|line| line.split_whitespace().next())
        .ok_or("no VmHWM")?;
    Ok(kibibytes.parse::<u64>()? / 1024)
}
