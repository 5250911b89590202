//! Metrics for several labels per image.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::{ClassReport, MetricsError};

/// Running metrics over images with several labels each.
///
/// The average precision depends on the order of all scores, so they are kept: 5 bytes per image and label.
///
/// ```
/// use effnet_data::metrics::MultiLabelMetrics;
///
/// # fn main() -> Result<(), effnet_data::metrics::MetricsError> {
/// let mut metrics = MultiLabelMetrics::new(2);
/// metrics.push(&[3.0, -1.0], &[true, false])?;
/// metrics.push(&[1.0, 2.0], &[false, true])?;
/// let summary = metrics.summary(&[0.5, 0.5]);
/// assert_eq!(summary.and_then(|summary| summary.mean_average_precision), Some(1.0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MultiLabelMetrics {
    labels: usize,
    /// Image by image.
    logits: Vec<f32>,
    truths: Vec<bool>,
}

/// The metrics at thresholds. A mean over nothing is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MultiLabelSummary {
    /// Number of images.
    pub images: u64,
    /// Mean average precision (mAP): the mean over the labels that occur. It does not depend on the thresholds.
    pub mean_average_precision: Option<f64>,
    /// F1 of all labels of all images together.
    pub micro_f1: Option<f64>,
    /// Mean of the F1 of each label that occurs or is predicted.
    pub macro_f1: Option<f64>,
    /// Fraction of the images whose labels are all right.
    pub exact: f64,
    /// Mean binary cross-entropy in nats, over images and labels.
    pub loss: f64,
}

/// A point of a precision-recall curve and of a ROC curve.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RankingPoint {
    /// The fraction of the images with the label that are predicted; the true positive rate.
    pub recall: f64,
    /// The fraction of the predicted images that have the label.
    pub precision: f64,
    /// The fraction of the images without the label that are predicted.
    pub false_positive_rate: f64,
}

impl MultiLabelMetrics {
    /// Creates empty metrics for this many labels.
    pub fn new(labels: usize) -> Self {
        Self {
            labels,
            logits: Vec::new(),
            truths: Vec::new(),
        }
    }

    /// Adds an image, with the logit of each label and whether the label applies.
    ///
    /// # Errors
    /// [`MetricsError`] for wrong numbers of logits or labels and for logits that are not finite; nothing is then added.
    pub fn push(&mut self, logits: &[f32], truths: &[bool]) -> Result<(), MetricsError> {
        if logits.len() != self.labels || truths.len() != self.labels {
            return Err(MetricsError::Columns {
                columns: self.labels,
                outputs: vec![1, logits.len() as i64],
                targets: vec![1, truths.len() as i64],
            });
        }
        if let Some(class) = logits.iter().position(|logit| !logit.is_finite()) {
            let found = logits[class];
            return Err(MetricsError::NotFinite { class, found });
        }
        self.logits.extend_from_slice(logits);
        self.truths.extend_from_slice(truths);
        Ok(())
    }

    /// Merges the metrics of other images into these.
    ///
    /// # Errors
    /// [`MetricsError::Merge`] if the number of labels differs.
    pub fn merge(&mut self, other: &Self) -> Result<(), MetricsError> {
        if self.labels != other.labels {
            return Err(MetricsError::Merge {
                classes: self.labels,
                found: other.labels,
            });
        }
        self.logits.extend_from_slice(&other.logits);
        self.truths.extend_from_slice(&other.truths);
        Ok(())
    }

    /// Number of labels.
    pub fn num_labels(&self) -> usize {
        self.labels
    }

    /// Number of images.
    pub fn images(&self) -> u64 {
        (self.truths.len() / self.labels.max(1)) as u64
    }

    /// Returns the metrics with these thresholds, one per label; `None` before the first image. A label is predicted
    /// where its probability is at least its threshold.
    pub fn summary(&self, thresholds: &[f64]) -> Option<MultiLabelSummary> {
        if self.truths.is_empty() {
            return None;
        }
        let counts = self.counts(thresholds);
        let sum = counts
            .iter()
            .fold(Counts::default(), |sum, label| sum.plus(*label));
        let precisions = self.average_precisions();
        Some(MultiLabelSummary {
            images: self.images(),
            mean_average_precision: mean(precisions.into_iter().flatten()),
            micro_f1: sum.f1(),
            macro_f1: mean(counts.iter().filter_map(|label| label.f1())),
            exact: self.exact(thresholds),
            loss: self.loss(),
        })
    }

    /// Returns the precision, recall, F1 and support of each label with these thresholds.
    pub fn reports(&self, thresholds: &[f64]) -> Vec<ClassReport> {
        let report = |counts: Counts| ClassReport {
            precision: fraction(counts.right, counts.right + counts.wrong),
            recall: fraction(counts.right, counts.right + counts.missed),
            f1: counts.f1(),
            support: counts.right + counts.missed,
        };
        self.counts(thresholds).into_iter().map(report).collect()
    }

    /// Returns the average precision of each label, the area under its precision-recall curve in steps, as in
    /// scikit-learn; `None` for a label that no image has.
    pub fn average_precisions(&self) -> Vec<Option<f64>> {
        (0..self.labels)
            .map(|label| self.average_precision(label))
            .collect()
    }

    fn average_precision(&self, label: usize) -> Option<f64> {
        let curve = self.curve(label);
        let positives = curve.last()?.right;
        if positives == 0 {
            return None;
        }
        let (mut area, mut before) = (0.0, 0);
        for point in curve {
            area += (point.right - before) as f64 * point.right as f64 / point.predicted as f64;
            before = point.right;
        }
        Some(area / positives as f64)
    }

    /// Returns the points of the precision-recall and ROC curves of a label, or of all labels together, from the highest
    /// score to the lowest.
    pub fn ranking(&self, label: Option<usize>) -> Vec<RankingPoint> {
        let scores = self.rows().flat_map(|(logits, truths)| {
            let pairs = logits.iter().copied().zip(truths.iter().copied());
            let chosen = pairs
                .enumerate()
                .filter(move |(column, _)| label.is_none_or(|label| label == *column));
            chosen.map(|(_, pair)| pair)
        });
        let curve = curve_of(scores.collect());
        let Some(&Point { predicted, right, .. }) = curve.last() else {
            return Vec::new();
        };
        let (positives, negatives) = (right.max(1) as f64, (predicted - right).max(1) as f64);
        let point = |point: &Point| RankingPoint {
            recall: point.right as f64 / positives,
            precision: point.right as f64 / point.predicted as f64,
            false_positive_rate: (point.predicted - point.right) as f64 / negatives,
        };
        curve.iter().map(point).collect()
    }

    /// Returns the threshold of each label with the highest F1, halfway to the next lower probability; of equals, the
    /// one nearest to 0.5. A label that no image has gets 0.5.
    ///
    /// Choose thresholds on validation images, and measure them on others.
    pub fn best_thresholds(&self) -> Vec<f64> {
        (0..self.labels).map(|label| self.best_threshold(label)).collect()
    }

    fn best_threshold(&self, label: usize) -> f64 {
        const DEFAULT: f64 = 0.5;
        let curve = self.curve(label);
        let positives = curve.last().map_or(0, |point| point.right);
        if positives == 0 {
            return DEFAULT;
        }
        let next = |index: usize| curve.get(index + 1).map_or(0.0, |point| point.probability);
        let candidate = |(index, point): (usize, &Point)| {
            let f1 = 2.0 * point.right as f64 / (point.predicted + positives) as f64;
            (f1, f64::midpoint(point.probability, next(index)))
        };
        let better = |left: &(f64, f64), right: &(f64, f64)| {
            let distance = |threshold: f64| (threshold - DEFAULT).abs();
            let by_f1 = left.0.total_cmp(&right.0);
            by_f1.then_with(|| distance(right.1).total_cmp(&distance(left.1)))
        };
        let best = curve.iter().enumerate().map(candidate).max_by(better);
        best.map_or(DEFAULT, |(_, threshold)| threshold)
    }

    /// Returns what is predicted at each distinct probability of a label, from the highest on.
    fn curve(&self, label: usize) -> Vec<Point> {
        let scores = self.rows().map(|(logits, truths)| (logits[label], truths[label]));
        curve_of(scores.collect())
    }

    /// Returns the logits and labels of each image.
    fn rows(&self) -> impl Iterator<Item = (&[f32], &[bool])> {
        let columns = self.labels.max(1);
        self.logits
            .chunks_exact(columns)
            .zip(self.truths.chunks_exact(columns))
    }

    fn counts(&self, thresholds: &[f64]) -> Vec<Counts> {
        let mut counts = vec![Counts::default(); self.labels];
        for (logits, truths) in self.rows() {
            let columns = logits.iter().zip(truths).zip(thresholds);
            for (counts, ((&logit, &truth), &threshold)) in counts.iter_mut().zip(columns) {
                match (sigmoid(logit) >= threshold, truth) {
                    (true, true) => counts.right += 1,
                    (true, false) => counts.wrong += 1,
                    (false, true) => counts.missed += 1,
                    (false, false) => {}
                }
            }
        }
        counts
    }

    fn exact(&self, thresholds: &[f64]) -> f64 {
        let is_exact = |(logits, truths): &(&[f32], &[bool])| {
            let mut columns = logits.iter().zip(*truths).zip(thresholds);
            columns.all(|((&logit, &truth), &threshold)| (sigmoid(logit) >= threshold) == truth)
        };
        self.rows().filter(is_exact).count() as f64 / self.images().max(1) as f64
    }

    fn loss(&self) -> f64 {
        let loss = |(&logit, &truth): (&f32, &bool)| {
            let logit = f64::from(logit);
            let own = if truth { logit } else { 0.0 };
            logit.max(0.0) - own + (-logit.abs()).exp().ln_1p()
        };
        let losses = self.logits.iter().zip(&self.truths).map(loss);
        losses.sum::<f64>() / self.truths.len().max(1) as f64
    }
}

/// The images whose probability of a label is at least `probability`.
struct Point {
    probability: f64,
    predicted: u64,
    /// Those that have the label.
    right: u64,
}

/// How often a label was predicted rightly, predicted wrongly, and missed.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    right: u64,
    wrong: u64,
    missed: u64,
}

impl Counts {
    fn plus(self, other: Self) -> Self {
        Self {
            right: self.right + other.right,
            wrong: self.wrong + other.wrong,
            missed: self.missed + other.missed,
        }
    }

    fn f1(self) -> Option<f64> {
        fraction(2 * self.right, 2 * self.right + self.wrong + self.missed)
    }
}

/// Returns what is predicted at each distinct score, from the highest on.
fn curve_of(mut scores: Vec<(f32, bool)>) -> Vec<Point> {
    scores.sort_by(|left, right| right.0.total_cmp(&left.0));
    let mut curve: Vec<Point> = Vec::new();
    let (mut predicted, mut right) = (0, 0);
    for (index, (logit, truth)) in scores.iter().enumerate() {
        predicted += 1;
        right += u64::from(*truth);
        let following = scores.get(index + 1).map(|next| next.0);
        // Zero and negative zero are one score.
        if following.is_some_and(|next| next.partial_cmp(logit) == Some(Ordering::Equal)) {
            continue;
        }
        curve.push(Point {
            probability: sigmoid(*logit),
            predicted,
            right,
        });
    }
    curve
}

fn fraction(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u64), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// Returns the probability of a label with this logit.
fn sigmoid(logit: f32) -> f64 {
    1.0 / (1.0 + (-f64::from(logit)).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A label per column; `+` has the label.
    fn metrics(rows: &[(&[f32], &str)]) -> MultiLabelMetrics {
        let mut metrics = MultiLabelMetrics::new(rows[0].0.len());
        for (logits, truths) in rows {
            let truths: Vec<bool> = truths.chars().map(|truth| truth == '+').collect();
            metrics.push(logits, &truths).unwrap();
        }
        metrics
    }

    #[test]
    fn average_precision_is_that_of_a_ranking() {
        // Ranks 1 and 3 of 4 are right: (1 + 2/3) / 2.
        let ranked = metrics(&[(&[3.0], "+"), (&[2.0], "-"), (&[1.0], "+"), (&[0.0], "-")]);
        assert_eq!(ranked.average_precisions(), [Some(f64::midpoint(1.0, 2.0 / 3.0))]);
        // Equal scores count as one rank, whatever their order.
        for order in [["+", "-"], ["-", "+"]] {
            let tied = metrics(&[(&[0.0], order[0]), (&[-0.0], order[1])]);
            assert_eq!(tied.average_precisions(), [Some(0.5)]);
        }
        let absent = metrics(&[(&[1.0, 1.0], "+-")]);
        assert_eq!(absent.average_precisions(), [Some(1.0), None]);
        assert_eq!(
            absent.summary(&[0.5; 2]).unwrap().mean_average_precision,
            Some(1.0)
        );
    }

    #[test]
    fn curves_go_from_the_highest_score_to_the_lowest() {
        let metrics = metrics(&[(&[3.0, 0.5], "+-"), (&[2.0, 0.0], "--"), (&[1.0, -1.0], "+-")]);
        let points: Vec<[f64; 3]> = metrics
            .ranking(Some(0))
            .iter()
            .map(|point| [point.recall, point.precision, point.false_positive_rate])
            .collect();
        assert_eq!(points, [[0.5, 1.0, 0.0], [0.5, 0.5, 1.0], [1.0, 2.0 / 3.0, 1.0]]);
        let all = metrics.ranking(None);
        assert_eq!((all.len(), all[5].recall, all[5].precision), (6, 1.0, 2.0 / 6.0));
        assert_eq!(all[1].false_positive_rate, 0.25);
    }

    #[test]
    fn thresholds_decide_what_is_predicted() {
        let metrics = metrics(&[(&[2.0, -1.0], "+-"), (&[0.5, -2.0], "-+"), (&[-3.0, 0.0], "-+")]);
        let summary = metrics.summary(&[0.5, 0.5]).unwrap();
        // Right: the first's first label, the third's second. Wrong: the second's first. Missed: its second.
        assert_eq!(summary.micro_f1, Some(4.0 / 6.0));
        assert_eq!(summary.exact, 2.0 / 3.0);
        let reports = metrics.reports(&[0.5, 0.5]);
        assert_eq!(
            (reports[0].precision, reports[0].recall, reports[0].support),
            (Some(0.5), Some(1.0), 1)
        );
        assert_eq!(
            (reports[1].precision, reports[1].recall, reports[1].support),
            (Some(1.0), Some(0.5), 2)
        );
        assert_eq!(metrics.summary(&[0.8, 0.1]).unwrap().exact, 2.0 / 3.0);
    }

    #[test]
    fn the_best_thresholds_separate_what_can_be_separated() {
        let metrics = metrics(&[
            (&[4.0, 1.0, 0.0], "++-"),
            (&[3.0, 0.5, 1.0], "+--"),
            (&[1.0, -2.0, 2.0], "-+-"),
        ]);
        let thresholds = metrics.best_thresholds();
        let [first, second, third] = thresholds[..] else {
            panic!()
        };
        assert_eq!(first, f64::midpoint(sigmoid(3.0), sigmoid(1.0)));
        // Of the second label, both images need the lowest threshold: F1 4/5, against 2/3 for the first alone.
        assert_eq!(second, sigmoid(-2.0) / 2.0);
        assert_eq!(third, 0.5);
        assert_eq!(metrics.summary(&thresholds).unwrap().micro_f1, Some(8.0 / 12.0));
    }

    #[test]
    fn parts_of_the_images_merge_into_all_and_survive_json() {
        let rows: [(&[f32], &str); 3] = [(&[0.1, 0.2], "+-"), (&[-0.3, 7e-8], "-+"), (&[9.0, -9.0], "++")];
        let whole = metrics(&rows);
        let mut parts = metrics(&rows[..1]);
        let text = serde_json::to_string(&metrics(&rows[1..])).unwrap();
        parts.merge(&serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!(parts, whole);
        let other = MultiLabelMetrics::new(3);
        assert!(matches!(
            parts.merge(&other),
            Err(MetricsError::Merge { classes: 2, found: 3 })
        ));
    }

    #[test]
    fn what_cannot_be_measured_is_refused_and_not_added() {
        let mut metrics = MultiLabelMetrics::new(2);
        assert_eq!(metrics.summary(&[0.5; 2]), None);
        let error = metrics.push(&[1.0], &[true, false]).unwrap_err().to_string();
        assert!(error.contains("[N, 2]") && error.contains("[1, 1]"), "{error}");
        let error = metrics.push(&[1.0, f32::NAN], &[true, false]).unwrap_err();
        assert!(matches!(error, MetricsError::NotFinite { class: 1, .. }));
        assert_eq!(metrics.images(), 0);
    }
}
