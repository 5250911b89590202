//! Fine-tuning on your own data set:
//!
//! ```text
//! cargo run --release -p effnet-train --example custom_dataset [WEIGHTS]
//! ```
//!
//! The images are drawn on demand; a database or a web service would be read in the same place. With
//! WEIGHTS (of a B0, in any format), everything but the classifier starts from the file; without, a narrow
//! network is trained from scratch.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::sync::Arc;

use effnet_core::{Config, EfficientNet, Pretrained, PretrainedOptions, Variant};
use effnet_data::metrics::Metrics;
use effnet_data::{BoxError, Dataset, Order};
use effnet_image::augment::TrainTransform;
use effnet_image::{EvalTransform, Image};
use effnet_train::data::{Loader, LoaderOptions};
use effnet_train::measure;
use effnet_train::{
    OptimizerKind, ParamGroupOptions, Phase, Schedule, ScheduleShape, Trainer, TrainerOptions, Warmup,
};
use tch::nn;

/// Any number of discs, rings and bars in different colours.
struct Shapes {
    classes: Vec<String>,
    count: usize,
    /// Makes the images of two data sets differ.
    seed: usize,
}

impl Shapes {
    fn new(count: usize, seed: usize) -> Self {
        let classes = ["disc", "ring", "bar"].map(str::to_owned).to_vec();
        Self { classes, count, seed }
    }
}

impl Dataset for Shapes {
    fn len(&self) -> usize {
        self.count
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> usize {
        index % self.classes.len()
    }

    fn name(&self, index: usize) -> String {
        format!("shape {index}")
    }

    fn image(&self, index: usize) -> Result<Image, BoxError> {
        const SIDE: usize = 48;
        let draw = (index + 1) * (self.seed * 2 + 7919);
        let (x0, y0) = (16 + draw % 17, 16 + draw / 17 % 17);
        let (ink, paper) = (150 + draw / 3 % 100, draw / 5 % 100);
        let mut pixels = Vec::with_capacity(SIDE * SIDE * 3);
        for (y, x) in (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (y, x))) {
            let distance = x.abs_diff(x0).pow(2) + y.abs_diff(y0).pow(2);
            let inside = match self.label(index) {
                0 => distance < 120,
                1 => (70..160).contains(&distance),
                _ => x.abs_diff(x0) < 4,
            };
            let level = if inside { ink } else { paper };
            pixels.extend([level, level * 3 / 4, 255 - level].map(|value| value as u8));
        }
        Ok(Image::from_rgb8(SIDE, SIDE, pixels)?)
    }
}

/// A network for three classes.
fn network(weights: Option<&str>) -> Result<EfficientNet, Box<dyn Error>> {
    if let Some(weights) = weights {
        let options = PretrainedOptions::default().with_new_classes(3);
        let pretrained = Pretrained::open(weights, &options)?;
        println!("not loaded: {}", pretrained.report.skipped.join(", "));
        return Ok(pretrained.network);
    }
    let narrow = Config {
        width_coefficient: 0.25,
        depth_coefficient: 0.5,
        drop_connect_rate: 0.0,
        batch_norm_momentum: 0.1,
        ..Variant::B0.config().with_num_classes(3)
    };
    let store = nn::VarStore::new(effnet_core::device());
    Ok(EfficientNet::new(&store.root(), &narrow)?)
}

pub(crate) fn run(weights: Option<&str>) -> Result<f64, Box<dyn Error>> {
    const EPOCHS: u64 = 12;
    let network = network(weights)?;

    let options = LoaderOptions::default().with_batch_size(16);
    let mut transform = TrainTransform::new(48);
    // Smaller crops may miss the shape.
    transform.crop.scale = (0.7, 1.0);
    let train = Loader::new(Arc::new(Shapes::new(240, 1)), transform, options.clone())?;
    let in_order = options.with_order(Order::Sequential);
    let validation = Loader::new(
        Arc::new(Shapes::new(60, 2)),
        EvalTransform::new(48).with_crop_pct(1.0),
        in_order,
    )?;

    let steps = EPOCHS * train.batches() as u64;
    let phase = Phase {
        groups: ParamGroupOptions::default(),
        optimizer: OptimizerKind::ADAM_W,
        schedule: Schedule::new(3e-3, steps, ScheduleShape::ONE_CYCLE, Warmup::default())?,
    };
    let mut trainer = Trainer::new(network, TrainerOptions::default(), vec![phase])?;
    for epoch in 0..EPOCHS {
        for batch in train.epoch(epoch)? {
            trainer.step(&[batch?])?;
        }
        let loss = trainer.running_loss().mean().unwrap_or(f64::NAN);
        trainer.end_epoch();
        println!("epoch {}: loss {loss:.3}", epoch + 1);
    }

    let mut metrics = Metrics::new(3);
    for batch in validation.epoch(0)? {
        let batch = batch?;
        measure(
            &mut metrics,
            &trainer.evaluate(&batch.images)?,
            batch.targets.tensor(),
        )?;
    }
    let accuracy = metrics.summary().map_or(0.0, |summary| summary.top1);
    println!("validation accuracy: {accuracy:.2}");
    Ok(accuracy)
}

fn main() -> Result<(), Box<dyn Error>> {
    run(std::env::args().nth(1).as_deref())?;
    Ok(())
}
