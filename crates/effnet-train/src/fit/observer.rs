//! [`Observer`]: how [`fit`](crate::fit) reports what happens, since it does not print anything itself.

use std::collections::BTreeMap;

use effnet_data::Unreadable;

use crate::{Error, Position};

/// Receives the events of a training run, and may stop it. `M` are the metrics of validation. `()` ignores all events.
///
/// In a group, each process has an observer of its own.
pub trait Observer<M> {
    /// The error of an event, which ends the run; also the error of the run.
    type Error: From<Error>;

    /// An epoch starts or, after the run was resumed, continues.
    ///
    /// # Errors
    /// An error ends the run.
    fn epoch_started(&mut self, _epoch: &EpochStart) -> Result<(), Self::Error> {
        Ok(())
    }

    /// A step was taken.
    ///
    /// # Errors
    /// An error ends the run.
    fn step(&mut self, _step: &StepReport) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Validation starts, with this number of batches.
    ///
    /// # Errors
    /// An error ends the run.
    fn validation_started(&mut self, _batches: u64) -> Result<(), Self::Error> {
        Ok(())
    }

    /// A validation batch was evaluated.
    ///
    /// # Errors
    /// An error ends the run.
    fn validated(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }

    /// A validation image was skipped because it cannot be read.
    ///
    /// # Errors
    /// An error ends the run.
    fn unreadable(&mut self, _image: &Unreadable) -> Result<(), Self::Error> {
        Ok(())
    }

    /// An epoch and its validation ended. Its checkpoint is saved next.
    ///
    /// # Errors
    /// An error ends the run.
    fn epoch_ended(&mut self, _epoch: &EpochReport<'_, M>) -> Result<(), Self::Error> {
        Ok(())
    }

    /// A checkpoint is about to be written. `notes` are saved with it, and are found again in
    /// [`Snapshot::notes`](crate::Snapshot::notes). Files that must not be older than the checkpoint, such as a log,
    /// should be synced here.
    ///
    /// # Errors
    /// An error ends the run.
    fn saving(&mut self, _notes: &mut BTreeMap<String, String>) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Returns whether the run should stop. It then saves a checkpoint and ends, on all processes of a group after the
    /// same step.
    fn is_interrupted(&self) -> bool {
        false
    }
}

impl<M> Observer<M> for () {
    type Error = Error;
}

/// The start of an epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct EpochStart {
    /// The number of the epoch, counting from 1.
    pub epoch: u64,
    /// The number of epochs of the run.
    pub epochs: u64,
    /// The number of steps of the epoch.
    pub steps: u64,
    /// The number of steps that have already been taken.
    pub done: u64,
}

/// The result of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct StepReport {
    /// The position after the step.
    pub position: Position,
    /// The number of images in the step, on all ranks.
    pub images: u64,
    /// The mean training loss of the epoch so far.
    pub loss: f64,
    /// The learning rate of the step.
    pub rate: f64,
    /// Training images per second since the epoch started, including data loading.
    pub images_per_second: f64,
}

/// The results of an epoch.
#[derive(Debug)]
#[non_exhaustive]
pub struct EpochReport<'a, M> {
    /// The number of the epoch, counting from 1.
    pub epoch: u64,
    /// The total number of steps taken.
    pub step: u64,
    /// The learning rate of the last step.
    pub rate: f64,
    /// The mean training loss of the epoch, with augmentation, dropout and label smoothing.
    pub train_loss: f64,
    /// The metrics on the validation images of all processes; `None` without any.
    pub metrics: Option<&'a M>,
    /// Whether the epoch is the best so far.
    pub is_best: bool,
    /// Seconds of training and validation. For an epoch that was resumed, only the time since then counts.
    pub seconds: f64,
    /// Training images per second, including data loading.
    pub images_per_second: f64,
}
