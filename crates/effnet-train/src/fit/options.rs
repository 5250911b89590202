//! The options of a training run, and how it ends.

use serde::{Deserialize, Serialize};

/// Options of [`fit`](crate::fit).
///
/// The number of epochs is not an option: it follows from the schedules of the trainer's phases. By default, a run
/// does not stop early, and saves a checkpoint after each epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FitOptions {
    /// Early stopping: stops after this many epochs without a better one; 0, the default, never stops early.
    pub patience: u64,
    /// How many bytes the features of training images may take while only the head is trained, and as many those of
    /// validation images. More are computed in every epoch, with the same results. 1 GiB by default.
    pub feature_memory: u64,
    /// Also saves a checkpoint each time this many steps have been taken. By default, 0: only after each epoch.
    pub save_steps: u64,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            patience: 0,
            feature_memory: 1 << 30,
            save_steps: 0,
        }
    }
}

impl FitOptions {
    /// Sets [`feature_memory`](Self::feature_memory).
    #[must_use]
    pub fn with_feature_memory(mut self, bytes: u64) -> Self {
        self.feature_memory = bytes;
        self
    }

    /// Sets [`patience`](Self::patience).
    #[must_use]
    pub fn with_patience(mut self, patience: u64) -> Self {
        self.patience = patience;
        self
    }

    /// Sets [`save_steps`](Self::save_steps).
    #[must_use]
    pub fn with_save_steps(mut self, save_steps: u64) -> Self {
        self.save_steps = save_steps;
        self
    }
}

/// How a training run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// All epochs were trained.
    Finished,
    /// Validation did not improve for [`FitOptions::patience`] epochs.
    EarlyStopped,
    /// The [observer](crate::Observer::is_interrupted) stopped the run, which was saved.
    Interrupted,
}
