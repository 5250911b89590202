//! The confusion matrix and the per-class metrics derived from it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::MetricsError;

/// A sparse confusion matrix: the number of images per pair of true and predicted class.
///
/// Only pairs that occur take memory, so the memory grows with the number of images rather than with the
/// square of the number of classes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfusionMatrix {
    num_classes: usize,
    /// Images by true and predicted class.
    #[serde(with = "pairs")]
    counts: BTreeMap<(usize, usize), u64>,
}

/// One entry of the matrix: the number of images of one class that were predicted as another or the same
/// class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confusion {
    /// The true class.
    pub actual: usize,
    /// The predicted class.
    pub predicted: usize,
    /// Number of images.
    pub images: u64,
}

/// Per-class metrics. A fraction whose denominator is 0 is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ClassReport {
    /// Fraction of the images predicted as this class that belong to it.
    pub precision: Option<f64>,
    /// Fraction of the images of this class that were predicted as it.
    pub recall: Option<f64>,
    /// Harmonic mean of precision and recall, `2 TP / (2 TP + FP + FN)`.
    pub f1: Option<f64>,
    /// Number of images of this class.
    pub support: u64,
}

/// Serialises the counts as a list, because JSON keys must be strings.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize as _, Deserializer, Serializer};

    type Counts = BTreeMap<(usize, usize), u64>;

    pub(crate) fn serialize<S: Serializer>(counts: &Counts, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(counts)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Counts, D::Error> {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}

impl ConfusionMatrix {
    pub(crate) fn new(num_classes: usize) -> Self {
        Self {
            num_classes,
            counts: BTreeMap::new(),
        }
    }

    pub(crate) fn add(&mut self, actual: usize, predicted: usize) {
        *self.counts.entry((actual, predicted)).or_default() += 1;
    }

    pub(crate) fn merge(&mut self, other: &Self) -> Result<(), MetricsError> {
        if self.num_classes != other.num_classes {
            return Err(MetricsError::Merge {
                classes: self.num_classes,
                found: other.num_classes,
            });
        }
        for (&pair, &images) in &other.counts {
            *self.counts.entry(pair).or_default() += images;
        }
        Ok(())
    }

    /// Returns the number of classes, which is the number of rows and of columns.
    pub fn num_classes(&self) -> usize {
        self.num_classes
    }

    /// Returns the number of images, which is the sum of all entries.
    pub fn images(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Returns the number of images of class `actual` that were predicted as `predicted`.
    pub fn get(&self, actual: usize, predicted: usize) -> u64 {
        self.counts.get(&(actual, predicted)).copied().unwrap_or(0)
    }

    /// Returns the non-zero entries, including the diagonal, sorted by true and then by predicted class.
    pub fn entries(&self) -> impl Iterator<Item = Confusion> {
        self.counts
            .iter()
            .map(|(&(actual, predicted), &images)| Confusion {
                actual,
                predicted,
                images,
            })
    }

    /// Returns the off-diagonal entries, most frequent first; ties are sorted by class.
    pub fn mistakes(&self) -> Vec<Confusion> {
        let is_mistake = |entry: &Confusion| entry.actual != entry.predicted;
        let mut mistakes: Vec<Confusion> = self.entries().filter(is_mistake).collect();
        mistakes.sort_by_key(|mistake| std::cmp::Reverse(mistake.images));
        mistakes
    }

    /// Returns the number of images of each class.
    pub fn support(&self) -> Vec<u64> {
        let mut support = vec![0; self.num_classes];
        for entry in self.entries() {
            support[entry.actual] += entry.images;
        }
        support
    }

    /// Returns the precision, recall, F1 and support of each class.
    pub fn classes(&self) -> Vec<ClassReport> {
        let mut predicted = vec![0; self.num_classes];
        for entry in self.entries() {
            predicted[entry.predicted] += entry.images;
        }
        let report = |(class, (support, predicted)): (usize, (u64, u64))| {
            let right = self.get(class, class) as f64;
            let fraction = |of: f64| (of > 0.0).then(|| right / of);
            ClassReport {
                precision: fraction(predicted as f64),
                recall: fraction(support as f64),
                f1: fraction((support + predicted) as f64 / 2.0),
                support,
            }
        };
        let columns = self.support().into_iter().zip(predicted);
        columns.enumerate().map(report).collect()
    }
}
