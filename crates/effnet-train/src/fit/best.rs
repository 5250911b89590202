//! [`Best`]: the best epoch so far, which early stopping and the best checkpoint depend on.

use std::collections::BTreeMap;

use crate::Score;

/// The best epoch of a training run: the one with the best [`Score`] or, without validation images, the last one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Best {
    /// The number of the epoch, counting from 1.
    pub epoch: u64,
    /// Its score. Without validation images, the value is 0 and the loss is that of training.
    pub score: Score,
}

// The names are those of the first version, which could only classify.
const EPOCH: &str = "best_epoch";
const VALUE: &str = "best_top1";
const LOSS: &str = "best_loss";

impl Best {
    pub(super) fn new(epoch: u64, score: Option<Score>, train_loss: f64) -> Self {
        let without = Score {
            value: 0.0,
            loss: train_loss,
        };
        Self {
            epoch,
            score: score.unwrap_or(without),
        }
    }

    /// Returns whether an epoch with this score is better.
    pub(super) fn is_beaten_by(&self, score: Option<Score>) -> bool {
        score.is_none_or(|score| score.is_better_than(self.score))
    }

    /// Returns the notes for a checkpoint. Floats survive the conversion to text exactly.
    pub(super) fn to_notes(self) -> BTreeMap<String, String> {
        BTreeMap::from([
            (EPOCH.to_owned(), self.epoch.to_string()),
            (VALUE.to_owned(), self.score.value.to_string()),
            (LOSS.to_owned(), self.score.loss.to_string()),
        ])
    }

    /// Reads the notes of a checkpoint; `None` before the first epoch.
    pub(super) fn from_notes(notes: &BTreeMap<String, String>) -> Option<Self> {
        Some(Self {
            epoch: notes.get(EPOCH)?.parse().ok()?,
            score: Score {
                value: notes.get(VALUE)?.parse().ok()?,
                loss: notes.get(LOSS)?.parse().ok()?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn score(value: f64, loss: f64) -> Score {
        Score { value, loss }
    }

    #[test]
    fn accuracy_counts_and_of_equals_the_loss() {
        let best = Best::new(3, Some(score(0.9, 0.5)), 9.0);
        assert!(best.is_beaten_by(Some(score(0.91, 0.8))));
        assert!(best.is_beaten_by(Some(score(0.9, 0.4))));
        assert!(!best.is_beaten_by(Some(score(0.9, 0.5))));
        assert!(!best.is_beaten_by(Some(score(0.89, 0.1))));
    }

    #[test]
    fn the_latest_epoch_is_the_best_without_validation() {
        assert!(Best::new(3, Some(score(0.9, 0.5)), 9.0).is_beaten_by(None));
    }

    #[test]
    fn a_checkpoint_remembers_it_exactly() {
        let best = Best::new(3, Some(score(1.0 / 3.0, 0.1 + 0.2)), 9.0);
        assert_eq!(Best::from_notes(&best.to_notes()), Some(best));
        assert_eq!(Best::from_notes(&BTreeMap::new()), None);
    }
}
