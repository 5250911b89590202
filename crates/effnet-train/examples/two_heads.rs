//! An EfficientNet with two heads: one tells the size of the disc in an image, the other its colour.
//!
//! ```text
//! cargo run --release -p effnet-train --example two_heads
//! ```
//!
//! The network, its loss and its metrics are this file's own; the training loop is effnet-train's. The outputs of the
//! network are the logits of both heads in a row, and its targets are both labels.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::sync::Arc;

use effnet_core::{Config, EfficientNet, Variant, device};
use effnet_data::metrics::Metrics;
use effnet_data::{BoxError, Dataset, Order};
use effnet_image::{EvalTransform, Image};
use effnet_train::data::{FitData as _, ImageBatches, Loader, LoaderOptions};
use effnet_train::{
    CrossEntropy, Fit, FitOptions, Loss, Measure, Observer, OptimizerKind, ParamGroupOptions, Phase,
    Schedule, ScheduleShape, Score, Targets, TchNetwork, Trainer, TrainerOptions, Warmup, measure,
};
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};

const SIZES: usize = 2;
const COLOURS: usize = 3;

/// An EfficientNet without its classifier, and a linear layer for each head.
type TwoHeads = TchNetwork<EfficientNet, nn::SequentialT>;

fn network() -> Result<TwoHeads, effnet_train::Error> {
    TchNetwork::new(device(), |root| {
        let config = Config {
            width_coefficient: 0.25,
            depth_coefficient: 0.5,
            drop_connect_rate: 0.0,
            batch_norm_momentum: 0.1,
            include_top: false,
            ..Variant::B0.config()
        };
        let body = EfficientNet::new(&(root / "body"), &config)?;
        let features = config.head_channels() as i64;
        let linear = |name: &str, outputs: usize| {
            let path = root / "head" / name;
            nn::linear(path, features, outputs as i64, nn::LinearConfig::default())
        };
        let (size, colour) = (linear("size", SIZES), linear("colour", COLOURS));
        let head = nn::seq_t().add_fn(move |features| {
            let features = features.flatten(1, -1);
            Tensor::cat(&[features.apply(&size), features.apply(&colour)], 1)
        });
        Ok((body, head))
    })
}

/// Returns the logits and the classes of both heads.
fn halves(outputs: &Tensor, targets: &Targets) -> Result<[(Tensor, Tensor); 2], effnet_train::Error> {
    let labels = targets.tensor();
    Ok([
        (outputs.f_narrow(1, 0, SIZES as i64)?, labels.f_select(1, 0)?),
        (
            outputs.f_narrow(1, SIZES as i64, COLOURS as i64)?,
            labels.f_select(1, 1)?,
        ),
    ])
}

/// The sum of the cross-entropies of both heads.
#[derive(Debug, Default)]
struct BothLosses(CrossEntropy);

impl Loss for BothLosses {
    fn loss(&self, outputs: &Tensor, targets: &Targets) -> Result<Tensor, effnet_train::Error> {
        let [size, colour] = halves(outputs, targets)?.map(|(logits, classes)| {
            let classes = classes.f_to_kind(tch::Kind::Int64)?;
            self.0.forward(&logits, &Targets::Classes(classes))
        });
        Ok(size?.f_add(&colour?)?)
    }
}

/// The metrics of both heads; their mean accuracy counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BothMetrics([Metrics; 2]);

impl Measure for BothMetrics {
    fn add(&mut self, outputs: &Tensor, targets: &Targets) -> Result<(), effnet_train::Error> {
        for (metrics, (logits, classes)) in self.0.iter_mut().zip(halves(outputs, targets)?) {
            measure(metrics, &logits, &classes)?;
        }
        Ok(())
    }

    fn merge(&mut self, other: &Self) -> Result<(), effnet_train::Error> {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            own.merge(other)?;
        }
        Ok(())
    }

    fn score(&self) -> Option<Score> {
        let [size, colour] = self.0.each_ref().map(Metrics::summary);
        let (size, colour) = (size?, colour?);
        Some(Score {
            value: f64::midpoint(size.top1, colour.top1),
            loss: size.loss + colour.loss,
        })
    }
}

/// Small and large discs in three colours.
struct Drawings {
    count: usize,
    seed: usize,
    sizes: Vec<String>,
}

impl Drawings {
    fn new(count: usize, seed: usize) -> Arc<Self> {
        let sizes = ["small", "large"].map(str::to_owned).to_vec();
        Arc::new(Self { count, seed, sizes })
    }

    fn colour(index: usize) -> usize {
        index / SIZES % COLOURS
    }

    /// A loader whose targets are the size and the colour of each image.
    fn loader(self: &Arc<Self>, options: LoaderOptions) -> Result<Loader, effnet_data::DataError> {
        let drawings = Arc::clone(self);
        let loader = Loader::new(
            Arc::clone(self) as _,
            EvalTransform::new(48).with_crop_pct(1.0),
            options,
        )?;
        Ok(loader.with_targets(move |indices| {
            let both = |&index: &usize| [drawings.label(index) as f32, Self::colour(index) as f32];
            let values: Vec<f32> = indices.iter().flat_map(both).collect();
            Ok(Targets::Values(
                Tensor::f_from_slice(&values)?.f_reshape([-1, 2])?,
            ))
        }))
    }
}

impl Dataset for Drawings {
    fn len(&self) -> usize {
        self.count
    }

    fn classes(&self) -> &[String] {
        &self.sizes
    }

    fn label(&self, index: usize) -> usize {
        index % SIZES
    }

    fn name(&self, index: usize) -> String {
        format!("drawing {index}")
    }

    fn image(&self, index: usize) -> Result<Image, BoxError> {
        const SIDE: usize = 48;
        let draw = (index + 1) * (self.seed * 2 + 7919);
        let (x0, y0) = (16 + draw % 17, 16 + draw / 17 % 17);
        let mut pixels = Vec::with_capacity(SIDE * SIDE * 3);
        for (y, x) in (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (y, x))) {
            let radius = [7usize, 13][self.label(index)];
            let is_inside = x.abs_diff(x0).pow(2) + y.abs_diff(y0).pow(2) < radius.pow(2);
            let paper = 60 + draw / 5 % 40;
            pixels.extend((0..3).map(|channel| {
                let is_lit = is_inside && channel == Self::colour(index);
                (if is_lit { 230 } else { paper }) as u8
            }));
        }
        Ok(Image::from_rgb8(SIDE, SIDE, pixels)?)
    }
}

/// Returns the accuracies of size and colour after `epochs` epochs.
pub(crate) fn run(epochs: u64) -> Result<[f64; 2], Box<dyn Error>> {
    let options = LoaderOptions::default().with_batch_size(16);
    let train = Drawings::new(240, 1).loader(options.clone())?;
    let validation = Drawings::new(60, 2).loader(options.with_order(Order::Sequential))?;
    let data = ImageBatches::new(train)
        .with_validation(validation)
        .with_metrics(BothMetrics([Metrics::new(SIZES), Metrics::new(COLOURS)]));
    tch::manual_seed(1);
    let phase = Phase {
        groups: ParamGroupOptions::default(),
        optimizer: OptimizerKind::ADAM_W,
        schedule: Schedule::new(
            3e-3,
            epochs * data.steps_per_epoch(),
            ScheduleShape::ONE_CYCLE,
            Warmup::default(),
        )?,
    };
    let options = TrainerOptions::default().with_loss(BothLosses::default());
    let trainer = Trainer::new(network()?, options, vec![phase])?;
    let mut accuracies = Accuracies([0.0; 2]);
    Fit::new(trainer, data, FitOptions::default()).run(&mut accuracies)?;
    Ok(accuracies.0)
}

/// Keeps the accuracies of the last epoch.
struct Accuracies([f64; 2]);

impl Observer<BothMetrics> for Accuracies {
    type Error = effnet_train::Error;

    fn epoch_ended(
        &mut self,
        epoch: &effnet_train::EpochReport<'_, BothMetrics>,
    ) -> Result<(), effnet_train::Error> {
        if let Some(BothMetrics(metrics)) = epoch.metrics {
            let top1 = |metrics: &Metrics| metrics.summary().map_or(0.0, |summary| summary.top1);
            self.0 = metrics.each_ref().map(top1);
        }
        let [size, colour] = self.0;
        println!(
            "epoch {}: loss {:.3}, size {size:.2}, colour {colour:.2}",
            epoch.epoch, epoch.train_loss
        );
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    run(12)?;
    Ok(())
}
