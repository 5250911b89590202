//! The best epoch of a training run.

use std::collections::BTreeMap;

use effnet_train::run::EpochRecord;

/// The best epoch, by the rule of [`EpochRecord::is_better_than`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Best {
    /// The number of the epoch, starting from 1.
    pub(super) epoch: u64,
    pub(super) top1: f64,
    loss: f64,
}

const EPOCH: &str = "best_epoch";
const TOP1: &str = "best_top1";
const LOSS: &str = "best_loss";

impl Best {
    pub(super) fn of(record: &EpochRecord) -> Self {
        let validation = record.validation.as_ref();
        Self {
            epoch: record.epoch,
            top1: validation.map_or(0.0, |summary| summary.top1),
            loss: validation.map_or(record.train_loss, |summary| summary.loss),
        }
    }

    pub(super) fn is_beaten_by(&self, record: &EpochRecord) -> bool {
        record.is_better_than(self.top1, self.loss)
    }

    /// Returns the notes for a checkpoint. Floats survive the conversion to text exactly.
    pub(super) fn to_notes(self) -> BTreeMap<String, String> {
        BTreeMap::from([
            (EPOCH.to_owned(), self.epoch.to_string()),
            (TOP1.to_owned(), self.top1.to_string()),
            (LOSS.to_owned(), self.loss.to_string()),
        ])
    }

    /// Reads the notes of a checkpoint; `None` before the first epoch.
    pub(super) fn from_notes(notes: &BTreeMap<String, String>) -> Option<Self> {
        Some(Self {
            epoch: notes.get(EPOCH)?.parse().ok()?,
            top1: notes.get(TOP1)?.parse().ok()?,
            loss: notes.get(LOSS)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use effnet_data::metrics::Summary;

    fn record(epoch: u64, top1: f64, loss: f64) -> EpochRecord {
        let validation = Some(Summary {
            images: 7,
            top1,
            top5: 1.0,
            loss,
            ece: 0.0,
        });
        EpochRecord {
            epoch,
            step: epoch,
            lr: 0.1,
            train_loss: 9.0,
            validation,
        }
    }

    #[test]
    fn accuracy_counts_and_of_equals_the_loss() {
        let best = Best::of(&record(3, 0.9, 0.5));
        assert!(best.is_beaten_by(&record(4, 0.91, 0.8)));
        assert!(best.is_beaten_by(&record(4, 0.9, 0.4)));
        assert!(!best.is_beaten_by(&record(4, 0.9, 0.5)));
        assert!(!best.is_beaten_by(&record(4, 0.89, 0.1)));
    }

    #[test]
    fn the_latest_epoch_is_the_best_without_validation() {
        let later = EpochRecord {
            validation: None,
            ..record(4, 0.0, 0.0)
        };
        assert!(Best::of(&record(3, 0.9, 0.5)).is_beaten_by(&later));
    }

    #[test]
    fn a_checkpoint_remembers_it_exactly() {
        let best = Best::of(&record(3, 1.0 / 3.0, 0.1 + 0.2));
        assert_eq!(Best::from_notes(&best.to_notes()), Some(best));
        assert_eq!(Best::from_notes(&BTreeMap::new()), None);
    }
}
