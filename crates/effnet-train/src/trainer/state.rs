//! What a training is made of between two steps.

use effnet_checkpoint::StateDict;
use serde::{Deserialize, Serialize};

use crate::GradScaler;

/// How far a training is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Position {
    /// Index of the phase.
    pub phase: u64,
    /// Steps taken in this phase.
    pub phase_step: u64,
    /// Complete epochs.
    pub epoch: u64,
    /// Steps taken in the running epoch: where the loader goes on.
    pub epoch_step: u64,
    /// Steps taken in all.
    pub step: u64,
}

/// A mean over images that can be saved in the middle.
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

    /// The mean loss; `None` before the first image.
    pub fn mean(&self) -> Option<f64> {
        (self.images > 0).then(|| self.sum / self.images as f64)
    }

    /// Images so far.
    pub fn images(&self) -> u64 {
        self.images
    }
}

/// All that a training needs to go on bit for bit, as a copy.
#[derive(Debug, Clone)]
pub struct TrainerState {
    /// How far it is.
    pub position: Position,
    /// What its draws come from.
    pub seed: u64,
    /// The network's parameters and statistics.
    pub weights: StateDict,
    /// [`Optimizer::state_dict`](crate::Optimizer::state_dict).
    pub optimizer: StateDict,
    /// The average and its number of updates.
    pub average: Option<(u64, StateDict)>,
    /// The scale of the loss in [`Precision::Fp16`](crate::Precision::Fp16).
    pub scaler: Option<GradScaler>,
    /// The mean loss of the running epoch.
    pub running_loss: RunningLoss,
}

impl TrainerState {
    /// The weights to evaluate and to publish: the average where there is one.
    pub fn published(&self) -> &StateDict {
        self.average
            .as_ref()
            .map_or(&self.weights, |(_, weights)| weights)
    }
}
