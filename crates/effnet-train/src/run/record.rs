//! The records of `log.jsonl`.

use effnet_data::metrics::Summary;
use serde::{Deserialize, Serialize};

use crate::Score;

/// One line of `log.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "lowercase")]
pub enum Record {
    /// Written every few steps.
    Step(StepRecord),
    /// Written after an epoch and its validation.
    Epoch(EpochRecord),
}

/// The training loss and learning rate at a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// From 1.
    pub epoch: u64,
    /// Steps so far.
    pub step: u64,
    /// The learning rate of the last step, of the group with the highest.
    pub lr: f64,
    /// Mean training loss of the epoch so far.
    pub loss: f64,
}

/// The results of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// From 1.
    pub epoch: u64,
    /// Steps so far.
    pub step: u64,
    /// The learning rate of the last step, of the group with the highest.
    pub lr: f64,
    /// Mean training loss over the epoch, with augmentation, dropout and label smoothing.
    pub train_loss: f64,
    /// The validation metrics; absent without validation images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Summary>,
}

/// The best of `epochs`: the one with the best [`Score`]; of equal ones, the first. Without validation, the latest epoch
/// is the best.
pub fn best_epoch(epochs: &[EpochRecord]) -> Option<&EpochRecord> {
    let score = |epoch: &EpochRecord| {
        let summary = epoch.validation?;
        Some(Score {
            value: summary.top1,
            loss: summary.loss,
        })
    };
    epochs
        .iter()
        .reduce(|best, epoch| match (score(epoch), score(best)) {
            (Some(own), Some(other)) if !own.is_better_than(other) => best,
            _ => epoch,
        })
}
