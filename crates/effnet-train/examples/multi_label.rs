//! Several labels per image: which of three shapes are in a drawing.
//!
//! ```text
//! cargo run --release -p effnet-train --example multi_label
//! ```
//!
//! It trains with binary cross-entropy, whose weights make up for rare labels, and chooses the threshold of each label.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::sync::Arc;

use effnet_core::{Config, EfficientNet, Variant, device};
use effnet_data::metrics::{MultiLabelMetrics, MultiLabelSummary};
use effnet_data::{BoxError, Dataset, Order};
use effnet_image::{EvalTransform, Image};
use effnet_train::data::{FitData as _, ImageBatches, Loader, LoaderOptions};
use effnet_train::{
    BinaryCrossEntropy, EpochReport, FitOptions, Observer, OptimizerKind, ParamGroupOptions, Phase, Schedule,
    ScheduleShape, Targets, Trainer, TrainerOptions, Warmup, fit,
};
use tch::{Tensor, nn};

const LABELS: usize = 3;

/// Drawings of any number of red squares, green crosses and blue frames.
struct Drawings {
    count: usize,
    seed: u32,
    labels: Vec<String>,
}

impl Drawings {
    fn new(count: usize, seed: u32) -> Arc<Self> {
        let labels = ["square", "cross", "frame"].map(str::to_owned).to_vec();
        Arc::new(Self { count, seed, labels })
    }

    /// A number that looks random.
    fn draw(&self, index: usize, purpose: u32) -> u32 {
        let mixed =
            (index as u32 + 1).wrapping_mul(2_654_435_761) ^ (self.seed * 97 + purpose).wrapping_mul(40_503);
        (mixed ^ (mixed >> 15)).wrapping_mul(2_246_822_519) >> 8
    }

    /// Whether each label applies: half, a third and a quarter of the time.
    fn truths(&self, index: usize) -> [bool; LABELS] {
        [0, 1, 2].map(|label| self.draw(index, label).is_multiple_of(2 + label))
    }

    /// A loader whose targets are the labels of each image.
    fn loader(self: &Arc<Self>, options: LoaderOptions) -> Result<Loader, effnet_data::DataError> {
        let drawings = Arc::clone(self);
        let loader = Loader::new(
            Arc::clone(self) as _,
            EvalTransform::new(48).with_crop_pct(1.0),
            options,
        )?;
        Ok(loader.with_targets(move |indices| {
            let row = |&index: &usize| drawings.truths(index).map(|truth| f32::from(u8::from(truth)));
            let values: Vec<f32> = indices.iter().flat_map(row).collect();
            let values = Tensor::f_from_slice(&values)?.f_reshape([-1, LABELS as i64])?;
            Ok(Targets::Values(values))
        }))
    }

    /// The images without a label, for each image with it.
    fn positive_weights(&self) -> Vec<f64> {
        let count = |label: usize| (0..self.count).filter(|&index| self.truths(index)[label]).count();
        let weight = |label: usize| (self.count - count(label)) as f64 / count(label).max(1) as f64;
        (0..LABELS).map(weight).collect()
    }
}

impl Dataset for Drawings {
    fn len(&self) -> usize {
        self.count
    }

    fn classes(&self) -> &[String] {
        &self.labels
    }

    /// The class of an image is not used.
    fn label(&self, _index: usize) -> usize {
        0
    }

    fn name(&self, index: usize) -> String {
        format!("drawing {index}")
    }

    fn image(&self, index: usize) -> Result<Image, BoxError> {
        const SIDE: usize = 48;
        let mut pixels = vec![30u8; SIDE * SIDE * 3];
        let truths = self.truths(index);
        for label in (0..LABELS).filter(|&label| truths[label]) {
            let place = |purpose: u32| (self.draw(index, 10 * (label as u32 + 1) + purpose) % 29) as usize;
            let (left, top) = (place(1), place(2));
            for (y, x) in (0..19).flat_map(|y| (0..19).map(move |x| (y, x))) {
                let is_inside = match label {
                    0 => (4..15).contains(&x) && (4..15).contains(&y),
                    1 => (8..11).contains(&x) || (8..11).contains(&y),
                    _ => !(2..17).contains(&x) || !(2..17).contains(&y),
                };
                if is_inside {
                    let at = ((top + y) * SIDE + left + x) * 3;
                    pixels[at + label] = 220;
                }
            }
        }
        Ok(Image::from_rgb8(SIDE, SIDE, pixels)?)
    }
}

/// Returns the metrics after `epochs` epochs, with the best threshold of each label.
pub(crate) fn run(epochs: u64) -> Result<MultiLabelSummary, Box<dyn Error>> {
    let drawings = Drawings::new(320, 1);
    let options = LoaderOptions::default().with_batch_size(16);
    let train = drawings.loader(options.clone())?;
    let validation = Drawings::new(96, 2).loader(options.with_order(Order::Sequential))?;
    let data = ImageBatches::new(train)
        .with_validation(validation)
        .with_metrics(MultiLabelMetrics::new(LABELS));
    let config = Config {
        width_coefficient: 0.25,
        depth_coefficient: 0.5,
        drop_connect_rate: 0.0,
        batch_norm_momentum: 0.1,
        ..Variant::B0.config().with_num_classes(LABELS)
    };
    tch::manual_seed(1);
    let network = EfficientNet::new(&nn::VarStore::new(device()).root(), &config)?;
    let phase = Phase {
        groups: ParamGroupOptions::default(),
        optimizer: OptimizerKind::ADAM_W,
        schedule: Schedule::new(
            4e-3,
            epochs * data.steps_per_epoch(),
            ScheduleShape::ONE_CYCLE,
            Warmup::default(),
        )?,
    };
    let loss = BinaryCrossEntropy::new(Some(&drawings.positive_weights()))?;
    let trainer = Trainer::new(network, TrainerOptions::default().with_loss(loss), vec![phase])?;
    let mut last = Last::default();
    fit(trainer, data, FitOptions::default(), &mut last)?;
    last.0.ok_or_else(|| "no epoch was validated".into())
}

/// Keeps the metrics of the last epoch.
#[derive(Default)]
struct Last(Option<MultiLabelSummary>);

impl Observer<MultiLabelMetrics> for Last {
    type Error = effnet_train::Error;

    fn epoch_ended(&mut self, epoch: &EpochReport<'_, MultiLabelMetrics>) -> Result<(), effnet_train::Error> {
        let Some(metrics) = epoch.metrics else {
            return Ok(());
        };
        let thresholds = metrics.best_thresholds();
        self.0 = metrics.summary(&thresholds);
        let percent = |value: Option<f64>| 100.0 * value.unwrap_or(0.0);
        if let Some(summary) = &self.0 {
            println!(
                "epoch {}: loss {:.3}, mAP {:.1} %, F1 {:.1} % at {thresholds:.2?}",
                epoch.epoch,
                epoch.train_loss,
                percent(summary.mean_average_precision),
                percent(summary.micro_f1)
            );
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    run(15)?;
    Ok(())
}
