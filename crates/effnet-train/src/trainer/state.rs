//! The state of a training run between two steps.

use effnet_checkpoint::StateDict;
use serde::{Deserialize, Serialize};

use crate::GradScaler;

/// A position in a training run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Position {
    /// The index of the phase.
    pub phase: u64,
    /// The number of steps taken in this phase.
    pub phase_step: u64,
    /// The number of completed epochs.
    pub epoch: u64,
    /// The number of steps taken in the current epoch, after which the loader continues.
    pub epoch_step: u64,
    /// The total number of steps taken.
    pub step: u64,
}

/// A running mean of the loss over images, which can be saved in the middle of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct RunningLoss {
    sum: f64,
    images: u64,
}

impl RunningLoss {
    pub(super) fn add(&mut self, loss: f64, images: u64) {
        self.sum += loss * images as f64;
        self.images += images;
    }

    /// Returns the mean loss, or `None` before the first image.
    pub fn mean(&self) -> Option<f64> {
        (self.images > 0).then(|| self.sum / self.images as f64)
    }

    /// The number of images so far.
    pub fn images(&self) -> u64 {
        self.images
    }
}

/// A copy of everything that a training run needs to resume bit for bit.
#[derive(Debug, Clone)]
pub struct TrainerState {
    /// The position.
    pub position: Position,
    /// The seed for dropout and drop connect.
    pub seed: u64,
    /// The network's parameters and batch-norm statistics.
    pub weights: StateDict,
    /// The optimizer's state, from [`Optimizer::state_dict`](crate::Optimizer::state_dict).
    pub optimizer: StateDict,
    /// The EMA of the weights and its number of updates.
    pub average: Option<(u64, StateDict)>,
    /// The gradient scaler, for [`Precision::Fp16`](crate::Precision::Fp16).
    pub scaler: Option<GradScaler>,
    /// The mean loss of the current epoch so far.
    pub running_loss: RunningLoss,
}

impl TrainerState {
    /// The weights to evaluate and export: those of the EMA, if there is one.
    pub fn published(&self) -> &StateDict {
        self.average
            .as_ref()
            .map_or(&self.weights, |(_, weights)| weights)
    }
}
