//! The batches of a training.

use std::sync::Arc;

use anyhow::Context;
use effnet_image::EvalTransform;
use effnet_image::augment::{ColorJitter, ErasingMode, RandomErasing, RandomResizedCrop, TrainTransform};
use effnet_train::data::{DataError, Dataset, Epoch, Loader, LoaderOptions, Mixup, Order, Splits, by_class};
use effnet_train::{Batch, Targets};

use super::datasets::{Datasets, Parted, name_within};
use super::settings::Settings;
use crate::printer::Printer;

/// Images with what is done to them.
pub(super) struct TrainingData {
    train: Arc<dyn Dataset>,
    val: Option<Arc<dyn Dataset>>,
    augment: TrainTransform,
    evaluate: EvalTransform,
}

impl TrainingData {
    /// `evaluate` is the transform of the network; that of the training images leads to the same size
    /// and range of values.
    pub(super) fn new(
        datasets: Datasets,
        settings: &Settings,
        evaluate: EvalTransform,
        printer: &Printer,
    ) -> anyhow::Result<Self> {
        let Splits { train, val } = datasets.part(settings, printer)?;
        let augment = augmentation(settings, &evaluate)?;
        Ok(Self {
            train,
            val,
            augment,
            evaluate,
        })
    }

    pub(super) fn classes(&self) -> &[String] {
        self.train.classes()
    }

    pub(super) fn training_images(&self) -> usize {
        self.train.len()
    }

    pub(super) fn validation_images(&self) -> usize {
        match &self.val {
            Some(val) => val.len(),
            None => 0,
        }
    }

    /// Training images of each class.
    pub(super) fn support(&self) -> Vec<usize> {
        by_class(&self.train).iter().map(Vec::len).collect()
    }

    /// How the images are parted, as a run keeps it.
    pub(super) fn parted(&self, settings: &Settings) -> Parted {
        let name = |val: &Arc<dyn Dataset>, index| name_within(&settings.data, &val.name(index));
        let names = |val: &Arc<dyn Dataset>| (0..val.len()).map(|index| name(val, index)).collect();
        Parted {
            training: self.training_images(),
            validation: self.val.as_ref().map(names).unwrap_or_default(),
        }
    }

    pub(super) fn describe(&self) -> String {
        format!(
            "{} training and {} validation images of {} classes",
            self.training_images(),
            self.validation_images(),
            self.classes().len()
        )
    }

    pub(super) fn steps_per_epoch(&self, settings: &Settings) -> u64 {
        let options = training_options(settings, self.train.len());
        let batches = if options.drop_last {
            self.train.len() / options.batch_size
        } else {
            self.train.len().div_ceil(options.batch_size)
        };
        (batches as u64).div_ceil(u64::from(settings.accumulate)).max(1)
    }

    /// The steps of an epoch from number `first` on, each with the batches that make it.
    pub(super) fn steps(&self, settings: &Settings, epoch: u64, first: u64) -> Result<Steps, DataError> {
        let options = training_options(settings, self.train.len());
        let loader = Loader::new(Arc::clone(&self.train), self.augment, options)?;
        let accumulate = settings.accumulate as usize;
        let mixes = settings.mixup > 0.0 || settings.cutmix > 0.0;
        let mixup = mixes.then(|| Mixup {
            mixup_alpha: settings.mixup,
            cutmix_alpha: settings.cutmix,
            // The loss smooths what is mixed: the order makes no difference.
            label_smoothing: 0.0,
            ..Mixup::new(settings.mixup, self.classes().len())
        });
        Ok(Steps {
            batches: loader.epoch_from(epoch, first as usize * accumulate)?,
            accumulate,
            mixup,
            seed: settings.seed,
            epoch,
        })
    }

    /// The validation images in batches; `None` where there are none.
    pub(super) fn validation(&self, settings: &Settings) -> Result<Option<Epoch>, DataError> {
        let Some(val) = &self.val else {
            return Ok(None);
        };
        let options = LoaderOptions {
            order: Order::Sequential,
            drop_last: false,
            strict: settings.strict,
            ..training_options(settings, usize::MAX)
        };
        let loader = Loader::new(Arc::clone(val), self.evaluate, options)?;
        loader.epoch(0).map(Some)
    }

    pub(super) fn validation_batches(&self, settings: &Settings) -> u64 {
        let size = batch_size(settings);
        self.validation_images().div_ceil(size) as u64
    }
}

/// `batch_size` is known whenever there is a loader.
fn batch_size(settings: &Settings) -> usize {
    settings.batch_size.value().map_or(1, |size| size as usize)
}

fn training_options(settings: &Settings, images: usize) -> LoaderOptions {
    let size = batch_size(settings).min(images).max(1);
    let defaults = LoaderOptions::new(size);
    LoaderOptions {
        workers: settings
            .workers
            .value()
            .map_or(defaults.workers, |workers| workers as usize),
        seed: settings.seed,
        // A last batch of few images would have statistics of its own.
        drop_last: images > size,
        // What cannot be read was left out before: an image that is lost now would change what is trained.
        strict: true,
        ..defaults
    }
}

fn augmentation(settings: &Settings, evaluate: &EvalTransform) -> anyhow::Result<TrainTransform> {
    let policy = match settings.augment.as_str() {
        "none" => None,
        name => Some(name.parse().context("`augment`")?),
    };
    let jitter = settings.color_jitter;
    let transform = TrainTransform {
        crop: RandomResizedCrop {
            scale: (settings.crop_scale, 1.0),
            ..RandomResizedCrop::default()
        },
        interpolation: evaluate.interpolation.into(),
        flip: settings.flip,
        policy,
        jitter: (jitter > 0.0).then(|| ColorJitter::new(jitter, jitter, jitter, 0.0)),
        erasing: (settings.erasing > 0.0)
            .then(|| RandomErasing::timm(settings.erasing, ErasingMode::RandomPixels)),
        mean: evaluate.mean,
        std: evaluate.std,
        ..TrainTransform::new(evaluate.image_size)
    };
    transform.check()?;
    Ok(transform)
}

/// The steps of an epoch.
pub(super) struct Steps {
    batches: Epoch,
    accumulate: usize,
    mixup: Option<Mixup>,
    seed: u64,
    epoch: u64,
}

impl Steps {
    fn batch(&mut self) -> Option<Result<Batch, DataError>> {
        let batch = self.batches.next()?;
        Some(batch.and_then(|batch| self.mix(batch)))
    }

    fn mix(&self, batch: effnet_train::data::Batch) -> Result<Batch, DataError> {
        let (images, targets) = match &self.mixup {
            None => (batch.images, Targets::Classes(batch.labels)),
            Some(mixup) => {
                let side = batch.images.size().last().map_or(1, |&side| side as usize);
                let mut rng = Mixup::rng(self.seed, self.epoch, batch.number);
                let mixing = mixup.sample(side, side, &mut rng)?;
                let (images, targets) = mixup.apply(mixing, batch.images, &batch.labels)?;
                (images, Targets::Probabilities(targets))
            }
        };
        Ok(Batch { images, targets })
    }
}

impl Iterator for Steps {
    type Item = Result<Vec<Batch>, DataError>;

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
