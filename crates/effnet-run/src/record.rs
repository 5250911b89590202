//! The records of `log.jsonl`.

use effnet_data::metrics::{MultiLabelSummary, RegressionSummary, Summary};
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

impl Record {
    /// Returns the results of an epoch, if these are.
    pub fn into_epoch(self) -> Option<EpochRecord> {
        match self {
            Self::Epoch(record) => Some(record),
            Self::Step(_) => None,
        }
    }
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
    pub validation: Option<Validation>,
    /// Whether the epoch was the best so far, whose weights become `best.safetensors`. Absent from the log if it was not,
    /// and from logs of earlier versions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub best: bool,
}

/// The metrics of validation, by the task of the network.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Validation {
    /// Of one class per image.
    Classes(Summary),
    /// Of several labels per image, with the best thresholds for these images.
    Labels(MultiLabelSummary),
    /// Of regression.
    Values(RegressionSummary),
}

impl Validation {
    /// Returns the score by which epochs are compared. Of several values, the errors are in the units of the data, whereas
    /// training compares those of standardised values; see [`best_epoch`].
    pub fn score(&self) -> Score {
        let (value, loss) = match self {
            Self::Classes(summary) => (summary.top1, summary.loss),
            Self::Labels(summary) => (summary.mean_average_precision.unwrap_or(0.0), summary.loss),
            Self::Values(summary) => (-summary.mae, summary.mse),
        };
        Score { value, loss }
    }

    /// Returns the metrics of classification, if they are.
    pub fn classes(&self) -> Option<&Summary> {
        match self {
            Self::Classes(summary) => Some(summary),
            _ => None,
        }
    }
}

/// The best of `epochs`: the last one that training found better than all before it ([`EpochRecord::best`]).
///
/// In the log of an earlier version, which does not say so, it is the one with the best [`Score`]; of equal ones, the first.
/// Without validation, the latest epoch is the best.
pub fn best_epoch(epochs: &[EpochRecord]) -> Option<&EpochRecord> {
    if let Some(best) = epochs.iter().rfind(|epoch| epoch.best) {
        return Some(best);
    }
    let score = |epoch: &EpochRecord| epoch.validation.map(|validation| validation.score());
    epochs
        .iter()
        .reduce(|best, epoch| match (score(epoch), score(best)) {
            (Some(own), Some(other)) if !own.is_better_than(other) => best,
            _ => epoch,
        })
}
