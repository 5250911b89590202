//! [`ImageBatches`]: training and validation batches from data sets of images, with mixup and gradient accumulation.

use effnet_data::metrics::Metrics;
use effnet_data::{Shard, Unreadable};

use super::{Epoch, FitData, Loader, Mixup};
use crate::{Batch, Error, FeatureCache, Measure};

/// The batches of a training run on images.
///
/// ```no_run
/// use std::sync::Arc;
/// use effnet_data::{ImageFolder, Order};
/// use effnet_image::{EvalTransform, augment::TrainTransform};
/// use effnet_train::data::{ImageBatches, Loader, LoaderOptions};
///
/// # fn main() -> Result<(), effnet_data::DataError> {
/// let options = LoaderOptions::default();
/// let train = Arc::new(ImageFolder::open("photos/train")?);
/// let val = Arc::new(ImageFolder::open("photos/val")?);
/// let train = Loader::new(train, TrainTransform::new(224), options.clone())?;
/// let val = Loader::new(val, EvalTransform::new(224).with_crop_pct(0.875), options.with_order(Order::Sequential))?;
/// let data = ImageBatches::new(train).with_validation(val);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ImageBatches<M = Metrics> {
    train: Loader,
    head: Option<Loader>,
    validation: Option<Loader>,
    validation_batches: u64,
    accumulate: usize,
    mixup: Option<Mixup>,
    metrics: M,
}

impl ImageBatches {
    /// Creates data with one batch per step, and the metrics of classification.
    pub fn new(train: Loader) -> Self {
        let classes = train.dataset().classes().len();
        Self {
            train,
            head: None,
            validation: None,
            validation_batches: 0,
            accumulate: 1,
            mixup: None,
            metrics: Metrics::new(classes),
        }
    }
}

impl<M> ImageBatches<M> {
    /// Validates with all images of `validation`, which belong to this process alone.
    #[must_use]
    pub fn with_validation(mut self, validation: Loader) -> Self {
        self.validation_batches = validation.batches() as u64;
        self.validation = Some(validation);
        self
    }

    /// Validates with `own`, this process's part of the validation images, which may be missing. Of all processes,
    /// the one with the most images has `batches` batches.
    #[must_use]
    pub fn with_validation_part(mut self, own: Option<Loader>, batches: u64) -> Self {
        (self.validation, self.validation_batches) = (own, batches);
        self
    }

    /// Accumulates the gradients of this many batches in each step, at least 1.
    #[must_use]
    pub fn with_accumulate(mut self, batches: usize) -> Self {
        self.accumulate = batches.max(1);
        self
    }

    /// Uses `images` instead of the training images in epochs that train only the head: as many images in batches of
    /// the same size, whose transform draws no random numbers or [repeats](super::LoaderOptions::repeat) them, so that
    /// each image is decoded only once. With mixup, it is decoded in every epoch.
    #[must_use]
    pub fn with_head_images(mut self, images: impl Into<Option<Loader>>) -> Self {
        self.head = images.into();
        self
    }

    /// Mixes the training batches.
    #[must_use]
    pub fn with_mixup(mut self, mixup: impl Into<Option<Mixup>>) -> Self {
        self.mixup = mixup.into();
        self
    }

    /// Computes these metrics, which are still empty, on the validation images.
    #[must_use]
    pub fn with_metrics<O>(self, metrics: O) -> ImageBatches<O> {
        ImageBatches {
            train: self.train,
            head: self.head,
            validation: self.validation,
            validation_batches: self.validation_batches,
            accumulate: self.accumulate,
            mixup: self.mixup,
            metrics,
        }
    }
}

impl<M> ImageBatches<M> {
    /// The number of the first batch of a step.
    fn batch(&self, step: u64) -> usize {
        step as usize * self.accumulate
    }

    fn steps_of(&self, batches: Epoch, epoch: u64) -> Steps {
        let options = self.train.options();
        Steps {
            batches,
            accumulate: self.accumulate,
            mixup: self.mixup,
            seed: options.seed,
            epoch,
            shard: options.shard,
        }
    }
}

impl<M: Measure + Clone> FitData for ImageBatches<M> {
    type Steps = Steps;
    type Validation = Validation;
    type Metrics = M;

    fn steps_per_epoch(&self) -> u64 {
        self.train.batches().div_ceil(self.accumulate).max(1) as u64
    }

    fn steps(&self, epoch: u64, first: u64) -> Result<Steps, Error> {
        let batches = self.train.epoch_from(epoch, self.batch(first))?;
        Ok(self.steps_of(batches, epoch))
    }

    fn head_steps(&self, epoch: u64, first: u64, cache: &FeatureCache) -> Result<Steps, Error> {
        let Some(images) = &self.head else {
            return self.steps(epoch, first);
        };
        let batches = match &self.mixup {
            None => images.epoch_with(epoch, self.batch(first), cache),
            Some(_) => images.epoch_from(epoch, self.batch(first)),
        };
        Ok(self.steps_of(batches?, epoch))
    }

    fn validation_batches(&self) -> u64 {
        self.validation_batches
    }

    fn validation(&self) -> Result<Option<Validation>, Error> {
        let loader = self.validation.as_ref();
        Ok(loader.map(|loader| loader.epoch(0).map(Validation)).transpose()?)
    }

    fn metrics(&self) -> M {
        self.metrics.clone()
    }

    fn unreadable<'v>(&self, validation: &'v Validation) -> &'v [Unreadable] {
        validation.0.unreadable()
    }
}

/// The steps of an epoch of [`ImageBatches`].
#[derive(Debug)]
pub struct Steps {
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

    fn mix(&self, batch: Batch) -> Result<Batch, Error> {
        let Some(mixup) = &self.mixup else {
            return Ok(batch);
        };
        let side = batch.images.size().last().map_or(1, |&side| side as usize);
        // Each batch in each process has a different number.
        let number = batch.number * self.shard.world_size + self.shard.rank;
        let mut rng = Mixup::rng(self.seed, self.epoch, number);
        let mixing = mixup.sample(side, side, &mut rng)?;
        mixup.apply_to_batch(mixing, batch)
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

/// The validation batches of [`ImageBatches`].
#[derive(Debug)]
pub struct Validation(Epoch);

impl Iterator for Validation {
    type Item = Result<Batch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.map_err(Error::from))
    }
}
