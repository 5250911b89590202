//! `--time`: chooses the number of epochs that fit into a time.

use std::time::{Duration, Instant};

use anyhow::Context;
use effnet_cli::training::settings::Settings;
use effnet_cli::training::values::{FreezeName, HeadFreeze};
use effnet_cli::{Printer, counted, duration};
use effnet_train::data::FitData as _;
use tch::Device;

use super::data::TrainingData;
use super::networks::{self, Networks};

/// More epochs hardly ever help, and early stopping ends most runs before.
const MOST: u64 = 100;
/// Steps that are not timed: the first ones allocate memory and start the loader.
const WARM_UP: usize = 2;
/// Timed steps, at most.
const STEPS: usize = 10;
/// The share of the time in which these steps end, whatever their number.
const TRIAL: f64 = 0.05;
/// The share of the time that is planned: the rest is for checkpoints and the report.
const PLANNED: f64 = 0.95;
/// How many times faster an image is when no layer below the classifier is trained, and in validation.
const INFERENCE: f64 = 5.0;

/// Resolves `epochs` if there is a time to keep. The batch size must already be resolved.
pub(super) fn settle(
    settings: &mut Settings,
    networks: Networks<'_>,
    data: &TrainingData,
    device: Device,
    printer: &Printer,
) -> anyhow::Result<()> {
    let Some(time) = settings.time.0 else {
        return Ok(());
    };
    let start = Instant::now();
    let step = seconds_per_step(settings, networks, data, device, time)?;
    let images = data.training_images_of_rank() as f64;
    let epoch = step * data.steps_per_epoch(settings)? as f64;
    // Per image and process.
    let inference = epoch / images / INFERENCE;
    let validation = data.validation_images() as f64 / data.ranks() as f64 * inference;
    let head_epoch = match settings.head_freeze {
        HeadFreeze::Features => images * inference,
        HeadFreeze::Convolutions => epoch,
    };
    let head_epochs = match settings.freeze {
        FreezeName::Nothing => settings.head_epochs,
        _ => 0,
    };
    let left = time.as_secs_f64() * PLANNED - start.elapsed().as_secs_f64();
    let pace = Pace {
        epoch: epoch + validation,
        head_epoch: head_epoch + validation,
        head_epochs,
    };
    settings.epochs = pace.epochs_in(left);
    let budget = settings.time;
    let epochs = counted(u64::from(settings.epochs), "epoch");
    let epochs = format!("{epochs} of about {}", duration(pace.epoch));
    if pace.seconds(settings.epochs) > left {
        printer.warning(format!(
            "--time {budget}: even {epochs} takes longer; --image-size or a smaller network makes it faster"
        ));
    } else {
        printer.note(format!("--time {budget}: {epochs}"));
    }
    Ok(())
}

/// The seconds of epochs.
struct Pace {
    epoch: f64,
    head_epoch: f64,
    head_epochs: u32,
}

impl Pace {
    /// Returns how many epochs fit, at least one after those of the head.
    fn epochs_in(&self, seconds: f64) -> u32 {
        let left = seconds - self.head_epoch * f64::from(self.head_epochs);
        // Saturates at 0, and at the largest number if an epoch takes no time.
        let further = (left / self.epoch) as u64;
        self.head_epochs + further.clamp(1, MOST) as u32
    }

    fn seconds(&self, epochs: u32) -> f64 {
        self.head_epoch * f64::from(self.head_epochs) + self.epoch * f64::from(epochs - self.head_epochs)
    }
}

/// Times a few steps that train all layers which the run trains, loading included.
fn seconds_per_step(
    settings: &Settings,
    networks: Networks<'_>,
    data: &TrainingData,
    device: Device,
    time: Duration,
) -> anyhow::Result<f64> {
    let mut trial = settings.clone();
    (trial.epochs, trial.head_epochs, trial.warmup_epochs) = (2, 0, 0.0);
    let mut trainer = networks::trial(&trial, data, networks, device)?;
    let batches = data.batches(&trial)?;
    let mut times = Vec::with_capacity(STEPS);
    let mut steps = batches.steps_of_all_epochs();
    let start = Instant::now();
    for index in 0..WARM_UP + STEPS {
        let last = Instant::now();
        let parts = steps.next().context("--time: the data have no batches")?;
        trainer.step(&parts?)?;
        if index >= WARM_UP {
            times.push(last.elapsed().as_secs_f64());
        }
        if !times.is_empty() && start.elapsed().as_secs_f64() > TRIAL * time.as_secs_f64() {
            break;
        }
    }
    Ok(times.iter().sum::<f64>() / times.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_epochs_are_planned_as_fit_and_one_of_everything_at_least() {
        let pace = |head_epochs| Pace {
            epoch: 40.0,
            head_epoch: 8.0,
            head_epochs,
        };
        assert_eq!(pace(0).epochs_in(600.0), 15);
        assert_eq!(pace(1).epochs_in(600.0), 15);
        assert_eq!(pace(1).epochs_in(608.0), 16);
        assert_eq!(pace(1).seconds(16), 608.0);
        assert_eq!(pace(2).epochs_in(-3.0), 3);
        assert_eq!(pace(0).epochs_in(1e9), 100);
        let fast = Pace {
            epoch: 0.0,
            ..pace(0)
        };
        assert_eq!(fast.epochs_in(600.0), 100);
    }
}
