//! Which classes are taken for which.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::MetricsError;

/// How many images of each class were taken for each class.
///
/// Only pairs that occur take memory, so that a thousand classes cost no more than the images that were
/// measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfusionMatrix {
    num_classes: usize,
    /// By the true class and the predicted one.
    #[serde(with = "pairs")]
    counts: BTreeMap<(usize, usize), u64>,
}

/// Images of one class that were taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confusion {
    /// The class that they are of.
    pub actual: usize,
    /// The class that they were taken for.
    pub predicted: usize,
    /// How many.
    pub images: u64,
}

/// How well one class is recognised. A fraction of nothing is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClassReport {
    /// Of the images that were taken for this class, the fraction that are of it.
    pub precision: Option<f64>,
    /// Of the images of this class, the fraction that were taken for it.
    pub recall: Option<f64>,
    /// The harmonic mean of the two, `2 TP / (2 TP + FP + FN)`.
    pub f1: Option<f64>,
    /// Images of this class.
    pub support: u64,
}

/// Counts as a list: keys of JSON are texts.
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

    /// Rows, and columns.
    pub fn num_classes(&self) -> usize {
        self.num_classes
    }

    /// The sum over the matrix.
    pub fn images(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Images of the class `actual` that were taken for `predicted`.
    pub fn get(&self, actual: usize, predicted: usize) -> u64 {
        self.counts.get(&(actual, predicted)).copied().unwrap_or(0)
    }

    /// The entries above 0, by the true class and then by the predicted one, the diagonal included.
    pub fn entries(&self) -> impl Iterator<Item = Confusion> {
        self.counts
            .iter()
            .map(|(&(actual, predicted), &images)| Confusion {
                actual,
                predicted,
                images,
            })
    }

    /// The most frequent mistakes, most frequent first; of equals, the lower classes.
    pub fn mistakes(&self) -> Vec<Confusion> {
        let is_mistake = |entry: &Confusion| entry.actual != entry.predicted;
        let mut mistakes: Vec<Confusion> = self.entries().filter(is_mistake).collect();
        mistakes.sort_by_key(|mistake| std::cmp::Reverse(mistake.images));
        mistakes
    }

    /// The number of images of each class.
    pub fn support(&self) -> Vec<u64> {
        let mut support = vec![0; self.num_classes];
        for entry in self.entries() {
            support[entry.actual] += entry.images;
        }
        support
    }

    /// Precision, recall, F1 and support of each class.
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
