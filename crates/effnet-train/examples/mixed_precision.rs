//! A training run on CUDA, or on the CPU where there is no CUDA device, with mixed precision, an EMA of the weights, and
//! checkpoints from which it is resumed:
//!
//! ```text
//! cargo run --release -p effnet-train --example mixed_precision PHOTOS RUN
//! ```
//!
//! PHOTOS has a folder of images per class. Stop the run at any moment and start it again: it continues from the last
//! checkpoint in the folder RUN.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::Path;

use effnet::ModelMetadata;
use effnet_core::{Config, EfficientNet, Variant, device};
use effnet_data::metrics::Metrics;
use effnet_data::{Order, Splits};
use effnet_image::{EvalTransform, augment::TrainTransform};
use effnet_train::data::{FitData as _, ImageBatches, Loader, LoaderOptions};
use effnet_train::{
    Checkpointer, EmaOptions, Ending, EpochReport, Fit, FitOptions, Observer, OptimizerKind,
    ParamGroupOptions, Phase, Precision, Schedule, ScheduleShape, StepReport, Trainer, TrainerOptions,
    Warmup,
};
use tch::nn;

pub(crate) fn run(photos: &Path, run: &Path, config: &Config, observer: &mut Printer) -> Outcome<Ending> {
    const EPOCHS: u64 = 4;
    // The device must be chosen before any tensor is created.
    let device = device();
    let splits = Splits::open(photos)?.or_split(0.2, 0);
    let (options, side) = (LoaderOptions::default().with_batch_size(16), config.image_size[0]);
    let classes = splits.train.classes().to_vec();
    let train = Loader::new(splits.train, TrainTransform::new(side), options.clone())?;
    let validation = splits.val.ok_or("no validation images")?;
    let evaluate = EvalTransform::new(side).with_crop_pct(0.875);
    let validation = Loader::new(validation, evaluate, options.with_order(Order::Sequential))?;
    let data = ImageBatches::new(train).with_validation(validation);

    tch::manual_seed(0);
    let config = config.clone().with_num_classes(classes.len());
    let network = EfficientNet::new(&nn::VarStore::new(device).root(), &config)?;
    let steps = EPOCHS * data.steps_per_epoch();
    let phase = Phase {
        groups: ParamGroupOptions::default().with_weight_decay(0.05),
        optimizer: OptimizerKind::ADAM_W,
        schedule: Schedule::new(2e-3, steps, ScheduleShape::ONE_CYCLE, Warmup::default())?,
    };
    let precision = if device.is_cuda() {
        Precision::Fp16
    } else {
        Precision::Bf16
    };
    let options = TrainerOptions::default()
        .with_precision(precision)
        .with_ema(EmaOptions::default().with_decay(0.99));
    let trainer = Trainer::new(network, options, vec![phase])?;

    let metadata = ModelMetadata::default().with_labels(classes);
    let checkpointer = Checkpointer::new(run, metadata)?;
    let mut fit = Fit::new(trainer, data, FitOptions::default().with_save_steps(100))
        .with_checkpoints(checkpointer, serde_json::json!({"epochs": EPOCHS}));
    if fit.resume()? {
        println!("resuming after step {}", fit.trainer().position().step);
    }
    fit.run(observer)
}

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Prints each epoch, and stops the run after a number of steps.
pub(crate) struct Printer {
    most_steps: u64,
    steps: u64,
}

impl Printer {
    pub(crate) fn stopping_after(most_steps: u64) -> Self {
        Self { most_steps, steps: 0 }
    }
}

impl Observer<Metrics> for Printer {
    type Error = Box<dyn Error>;

    fn step(&mut self, _step: &StepReport) -> Outcome<()> {
        self.steps += 1;
        Ok(())
    }

    fn epoch_ended(&mut self, epoch: &EpochReport<'_, Metrics>) -> Outcome<()> {
        let top1 = epoch
            .metrics
            .and_then(Metrics::summary)
            .map_or(0.0, |summary| summary.top1);
        println!(
            "epoch {}: loss {:.3}, accuracy {top1:.2}",
            epoch.epoch, epoch.train_loss
        );
        Ok(())
    }

    fn is_interrupted(&self) -> bool {
        self.steps >= self.most_steps
    }
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [photos, folder] = arguments.as_slice() else {
        return Err("usage: mixed_precision PHOTOS RUN".into());
    };
    let mut printer = Printer::stopping_after(u64::MAX);
    let ending = run(
        Path::new(photos),
        Path::new(folder),
        &Variant::B0.config(),
        &mut printer,
    )?;
    println!("{ending:?}");
    Ok(())
}
