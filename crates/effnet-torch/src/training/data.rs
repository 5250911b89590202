//! The batches of a training run: data sets, transforms, loaders, mixup, and gradient accumulation.

use std::sync::Arc;

use anyhow::Context;
use effnet_data::{Dataset, Order, Reading, Shard, Splits, Subset, by_class};
use effnet_image::EvalTransform;
use effnet_image::augment::{
    ColorJitter, ErasingMode, Policy, RandomErasing, RandomResizedCrop, TrainTransform,
};
use effnet_train::data::{Epoch, Loader, LoaderOptions, Mixup};
use effnet_train::{Batch, Error, Targets};

use super::datasets::Datasets;
use effnet_cli::Printer;
use effnet_cli::overview::{Overview, print_notices};
use effnet_cli::threads;
use effnet_cli::training::recorded_split::{RecordedSplit, name_within};
use effnet_cli::training::settings::Settings;
use effnet_cli::training::values::ClassWeights;

/// The training and validation images, with their transforms.
pub(super) struct TrainingData {
    train: Arc<dyn Dataset>,
    val: Option<Arc<dyn Dataset>>,
    /// Which images are used.
    reading: Reading,
    /// The fraction of each class that was held out for validation, if any.
    held_out: Option<f64>,
    augment: TrainTransform,
    evaluate: EvalTransform,
    /// The images of this process.
    shard: Shard,
}

impl TrainingData {
    /// Combines the images with their transforms. `evaluate` is the network's preprocessing. The training
    /// transform has the same image size and normalisation.
    pub(super) fn new(
        datasets: Datasets,
        settings: &Settings,
        evaluate: EvalTransform,
        shard: Shard,
        printer: &Printer,
    ) -> anyhow::Result<Self> {
        let held_out = (!datasets.has_validation()).then_some(settings.val_split);
        let Splits { train, val, reading } = datasets.split(settings, printer)?;
        let augment = augmentation(settings, &evaluate)?;
        Ok(Self {
            train,
            val,
            reading,
            held_out,
            augment,
            evaluate,
            shard,
        })
    }

    pub(super) fn classes(&self) -> &[String] {
        self.train.classes()
    }

    /// Returns the mean and the standard deviation of each channel.
    pub(super) fn normalisation(&self) -> [[f32; 3]; 2] {
        [self.evaluate.mean, self.evaluate.std]
    }

    pub(super) fn training_images(&self) -> usize {
        self.train.len()
    }

    /// Returns the smallest number of training images in any process.
    pub(super) fn training_images_of_rank(&self) -> usize {
        self.train.len() / self.shard.world_size
    }

    /// Returns the number of processes that train together.
    pub(super) fn ranks(&self) -> usize {
        self.shard.world_size
    }

    pub(super) fn validation_images(&self) -> usize {
        match &self.val {
            Some(val) => val.len(),
            None => 0,
        }
    }

    /// Returns the number of training images per class.
    pub(super) fn support(&self) -> Vec<usize> {
        by_class(&self.train).iter().map(Vec::len).collect()
    }

    /// Returns the split into training and validation images, as saved in the run folder.
    pub(super) fn recorded_split(&self, settings: &Settings) -> RecordedSplit {
        let name = |val: &Arc<dyn Dataset>, index| name_within(&settings.data, &val.name(index));
        let names = |val: &Arc<dyn Dataset>| (0..val.len()).map(|index| name(val, index)).collect();
        RecordedSplit {
            training: self.training_images(),
            validation: self.val.as_ref().map(names).unwrap_or_default(),
        }
    }

    /// Prints which images are used for what, the number of images per class, and what looks wrong about
    /// them.
    pub(super) fn describe(&self, settings: &Settings, printer: &Printer) {
        let overview = Overview {
            reading: &self.reading,
            train: &*self.train,
            val: self.val.as_deref(),
            held_out: self.held_out,
        };
        printer.note(overview.parts());
        printer.note(overview.classes());
        print_notices(&self.reading, printer);
        if settings.class_weights == ClassWeights::None
            && let Some(hint) = overview.imbalance()
        {
            printer.note(hint);
        }
    }

    pub(super) fn steps_per_epoch(&self, settings: &Settings) -> u64 {
        let options = self.training_options(settings);
        let batches = if options.drop_last {
            self.training_images_of_rank() / options.batch_size
        } else {
            let longest = self.train.len().div_ceil(self.shard.world_size);
            longest.div_ceil(options.batch_size)
        };
        (batches as u64).div_ceil(u64::from(settings.accumulate)).max(1)
    }

    fn training_options(&self, settings: &Settings) -> LoaderOptions {
        let images = self.training_images_of_rank();
        let options = loader_options(settings, batch_size(settings).min(images).max(1));
        // The batch statistics of a small last batch would be noisy.
        let drop_last = images > options.batch_size;
        options
            .with_drop_last(drop_last)
            // Unreadable images were skipped before training; skipping another image now would change the
            // steps.
            .with_strict(true)
            .with_shard(self.shard)
    }

    /// Returns the steps of an epoch from step `first` on, each with the batches whose gradients it
    /// accumulates.
    pub(super) fn steps(&self, settings: &Settings, epoch: u64, first: u64) -> anyhow::Result<Steps> {
        let options = self.training_options(settings);
        let loader = Loader::new(Arc::clone(&self.train), self.augment, options)?;
        let accumulate = settings.accumulate as usize;
        let mixes = settings.mixup > 0.0 || settings.cutmix > 0.0;
        let mixup = mixes.then(|| {
            Mixup::new(settings.mixup, self.classes().len())
                .with_cutmix_alpha(settings.cutmix)
                // The loss applies the smoothing: mixing and smoothing commute.
                .with_label_smoothing(0.0)
        });
        Ok(Steps {
            batches: loader.epoch_from(epoch, first as usize * accumulate)?,
            accumulate,
            mixup,
            seed: settings.seed,
            epoch,
            shard: self.shard,
        })
    }

    /// Returns the batches of this process's validation images; `None` if it has none.
    pub(super) fn validation(&self, settings: &Settings) -> Result<Option<Epoch>, effnet_data::DataError> {
        let Some(val) = &self.val else {
            return Ok(None);
        };
        let Shard { rank, world_size } = self.shard;
        let own: Vec<usize> = (rank..val.len()).step_by(world_size).collect();
        if own.is_empty() {
            return Ok(None);
        }
        let options = loader_options(settings, batch_size(settings))
            .with_order(Order::Sequential)
            .with_strict(settings.strict);
        let own = Arc::new(Subset::new(Arc::clone(val), own));
        let loader = Loader::new(own, self.evaluate, options)?;
        loader.epoch(0).map(Some)
    }

    pub(super) fn validation_batches(&self, settings: &Settings) -> u64 {
        let size = batch_size(settings);
        self.validation_images()
            .div_ceil(self.shard.world_size)
            .div_ceil(size) as u64
    }
}

/// Returns `batch_size`, which is resolved before any loader is created.
fn batch_size(settings: &Settings) -> usize {
    settings.batch_size.value().map_or(1, |size| size as usize)
}

fn loader_options(settings: &Settings, batch_size: usize) -> LoaderOptions {
    LoaderOptions::default()
        .with_batch_size(batch_size)
        .with_workers(
            settings
                .workers
                .value()
                .map_or_else(|| threads(None), |workers| workers as usize),
        )
        .with_seed(settings.seed)
}

fn augmentation(settings: &Settings, evaluate: &EvalTransform) -> anyhow::Result<TrainTransform> {
    let policy = match settings.augment.as_str() {
        "none" => None,
        name => Some(
            name.parse::<Policy>()
                .with_context(|| format!("--augment {name}"))?,
        ),
    };
    let jitter = settings.color_jitter;
    let transform = TrainTransform::new(evaluate.image_size)
        .with_crop(RandomResizedCrop::default().with_scale((settings.crop_scale, 1.0)))
        .with_interpolation(evaluate.interpolation)
        .with_flip(settings.flip)
        .with_policy(policy)
        .with_jitter((jitter > 0.0).then(|| ColorJitter::new(jitter, jitter, jitter, 0.0)))
        .with_erasing(
            (settings.erasing > 0.0)
                .then(|| RandomErasing::timm(settings.erasing, ErasingMode::RandomPixels)),
        )
        .with_mean(evaluate.mean)
        .with_std(evaluate.std);
    transform.check()?;
    Ok(transform)
}

/// An iterator over the steps of an epoch.
pub(super) struct Steps {
    batches: Epoch,
    accumulate: usize,
    mixup: Option<Mixup>,
    seed: u64,
    epoch: u64,
    shard: Shard,
}

impl Steps {
    fn batch(&mut self) -> Option<Result<Batch, Error>> {
        let batch = self.batches.next()?;
        Some(batch.map_err(Error::from).and_then(|batch| self.mix(batch)))
    }

    fn mix(&self, mut batch: Batch) -> Result<Batch, Error> {
        let Some(mixup) = &self.mixup else {
            return Ok(batch);
        };
        let side = batch.images.size().last().map_or(1, |&side| side as usize);
        // Each batch in each process has a different number.
        let number = batch.number * self.shard.world_size + self.shard.rank;
        let mut rng = Mixup::rng(self.seed, self.epoch, number);
        let mixing = mixup.sample(side, side, &mut rng)?;
        let (images, targets) = mixup.apply(mixing, batch.images, batch.targets.tensor())?;
        (batch.images, batch.targets) = (images, Targets::Probabilities(targets));
        Ok(batch)
    }
}

impl Iterator for Steps {
    type Item = Result<Vec<Batch>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut parts = Vec::with_capacity(self.accumulate);
        while parts.len() < self.accumulate {
            match self.batch() {
                Some(Ok(batch)) => parts.push(batch),
                Some(Err(error)) => return Some(Err(error)),
                None => break,
            }
        }
        (!parts.is_empty()).then_some(Ok(parts))
    }
}
