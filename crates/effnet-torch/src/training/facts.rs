//! What a run is computed with: the lines printed before training, and `run.json` in the run folder.
//!
//! A result can be explained, or reproduced on another machine, only if the device, the precision and the
//! versions are known. `log.jsonl` contains neither these nor any wall-clock time, so that equal runs write
//! equal logs.

use std::time::{SystemTime, UNIX_EPOCH};

use effnet_cli::counted;
use effnet_cli::training::settings::Settings;
use effnet_train::Trainer;
use effnet_train::run::{RunError, RunFolder};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tch::Device;

/// The name of the file in the run folder.
pub(super) const RUN: &str = "run.json";
/// The libtorch version for which this program is built.
const LIBTORCH: &str = "2.11.0";

/// What a run computes with, from one start to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Start {
    /// The number of steps taken before this start.
    after_step: u64,
    /// Seconds since 1970.
    unix_time: u64,
    effnet: String,
    libtorch: String,
    /// `cpu` or `cuda:N`.
    device: String,
    /// Compute threads per process.
    threads: usize,
    processes: usize,
    /// The precision in use, never `auto`.
    precision: String,
}

impl Start {
    pub(super) fn new(trainer: &Trainer, threads: usize, processes: usize) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            after_step: trainer.position().step,
            unix_time: since.map_or(0, |since| since.as_secs()),
            effnet: env!("CARGO_PKG_VERSION").to_owned(),
            libtorch: LIBTORCH.to_owned(),
            device: match trainer.network().device() {
                Device::Cuda(index) => format!("cuda:{index}"),
                _ => "cpu".to_owned(),
            },
            threads,
            processes,
            precision: trainer.precision().name().to_owned(),
        }
    }

    /// Describes the start: `cpu, 2 threads, fp32; effnet 0.1.0, libtorch 2.11.0`.
    pub(super) fn describe(&self) -> String {
        let processes = match self.processes {
            1 => String::new(),
            count => format!(", {count} processes"),
        };
        format!(
            "{}, {}{processes}, {}; effnet {}, libtorch {}",
            self.device,
            counted(self.threads, "thread"),
            self.precision,
            self.effnet,
            self.libtorch
        )
    }
}

/// The wall-clock time of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct EpochTime {
    /// The number of the epoch, starting from 1.
    pub(super) epoch: u64,
    /// Seconds of training and validation. For an epoch that was resumed, only the time since then counts.
    pub(super) seconds: f64,
    /// Training images per second.
    pub(super) images_per_second: f64,
}

/// The contents of `run.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct RunFacts {
    /// The number of parameters, trained or frozen, without buffers.
    parameters: u64,
    seed: u64,
    /// The first start, and each time the run was resumed.
    starts: Vec<Start>,
    epochs: Vec<EpochTime>,
}

impl RunFacts {
    pub(super) fn new(trainer: &Trainer, settings: &Settings, start: Start) -> Self {
        Self {
            parameters: parameters(trainer),
            seed: settings.seed,
            starts: vec![start],
            epochs: Vec::new(),
        }
    }

    /// Returns the facts of a run that is resumed after `epochs` epochs. A run of an earlier version does not
    /// have any.
    pub(super) fn resume(folder: &RunFolder, epochs: u64, new: Self) -> Result<Self, RunError> {
        if !folder.path().join(RUN).exists() {
            return Ok(new);
        }
        let mut facts: Self = folder.read_json(RUN)?;
        facts.epochs.retain(|epoch| epoch.epoch <= epochs);
        facts.starts.extend(new.starts);
        Ok(facts)
    }

    pub(super) fn add(&mut self, epoch: EpochTime) {
        self.epochs.push(epoch);
    }
}

fn parameters(trainer: &Trainer) -> u64 {
    let is_buffer = |name: &str| {
        ["running_mean", "running_var", "num_batches_tracked"]
            .iter()
            .any(|buffer| name.ends_with(buffer))
    };
    let tensors = trainer.network().named_tensors();
    let counted = tensors.filter(|(name, _)| !is_buffer(name));
    counted.map(|(_, tensor)| tensor.numel() as u64).sum()
}

/// Returns the line about the steps: `4,013,953 parameters, adamw at 2.0e-3 (one-cycle), ...`.
pub(super) fn describe_steps(trainer: &Trainer, settings: &Settings, steps_per_epoch: u64) -> String {
    let rate = settings
        .lr
        .value()
        .map_or("auto".to_owned(), |rate| format!("{rate:.1e}"));
    let batch = settings.batch_size.value().unwrap_or(1);
    let accumulated = match settings.accumulate {
        1 => String::new(),
        count => format!(" x {count}"),
    };
    format!(
        "{:.1} million parameters, {} with learning rate {rate} ({}), batch size {batch}{accumulated}, {} of {}, seed {}",
        parameters(trainer) as f64 / 1e6,
        name_of(settings.optimizer),
        name_of(settings.schedule),
        counted(u64::from(settings.epochs), "epoch"),
        counted(steps_per_epoch, "step"),
        settings.seed
    )
}

/// Returns the name of a value on the command line and in config.json.
fn name_of(value: impl Serialize) -> String {
    match serde_json::json!(value) {
        Value::String(name) => name,
        other => other.to_string(),
    }
}
