//! [`FitData`]: what [`fit`](crate::fit) trains on and validates with.

use std::iter;

use effnet_data::Unreadable;

use crate::{Batch, Error, FeatureCache, Measure};

/// The training and validation data of a training run.
///
/// [`ImageBatches`](super::ImageBatches) reads both from data sets of images.
pub trait FitData {
    /// The steps of an epoch, each with the batches whose gradients it accumulates.
    type Steps: Iterator<Item = Result<Vec<Batch>, Error>> + Send + 'static;
    /// The validation batches.
    type Validation: Iterator<Item = Result<Batch, Error>>;
    /// The validation metrics.
    type Metrics: Measure;

    /// The number of steps per epoch, at least 1 and the same in all processes that train together.
    fn steps_per_epoch(&self) -> u64;

    /// Returns the steps of an epoch, counting from 0, from step number `first` on. They must be the same each time, so
    /// that a resumed run equals an uninterrupted one.
    ///
    /// # Errors
    /// [`Error::Data`].
    fn steps(&self, epoch: u64, first: u64) -> Result<Self::Steps, Error>;

    /// Returns the steps of one epoch after the other, beginning with epoch 0. Ends only at an epoch without steps.
    fn steps_of_all_epochs(&self) -> impl Iterator<Item = Result<Vec<Batch>, Error>> {
        let (mut epoch, mut steps) = (0, None::<Self::Steps>);
        iter::from_fn(move || {
            if let Some(step) = steps.as_mut().and_then(Iterator::next) {
                return Some(step);
            }
            let next = self.steps(epoch, 0);
            epoch += 1;
            match next {
                Ok(next) => steps.insert(next).next(),
                Err(error) => Some(Err(error)),
            }
        })
    }

    /// Like [`steps`](Self::steps), for an epoch that trains only the head. If every such epoch shows the same images,
    /// the batches may carry `cache`, which is the same in all of these epochs, and leave images that it knows blank.
    /// By default, the same steps.
    ///
    /// # Errors
    /// [`Error::Data`].
    fn head_steps(&self, epoch: u64, first: u64, cache: &FeatureCache) -> Result<Self::Steps, Error> {
        let _ = cache;
        self.steps(epoch, first)
    }

    /// The number of validation batches of a process, for progress bars; 0 without validation.
    fn validation_batches(&self) -> u64;

    /// Returns this process's validation batches; `None` if it has none.
    ///
    /// # Errors
    /// [`Error::Data`].
    fn validation(&self) -> Result<Option<Self::Validation>, Error>;

    /// Returns metrics without any images.
    fn metrics(&self) -> Self::Metrics;

    /// Returns the images that `validation` has skipped because they cannot be read.
    fn unreadable<'v>(&self, validation: &'v Self::Validation) -> &'v [Unreadable] {
        let _ = validation;
        &[]
    }
}
