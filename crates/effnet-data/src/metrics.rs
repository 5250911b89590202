//! Metrics of classification, of several labels per image and of regression.
//!
//! [`Metrics`] accumulates one row of logits at a time, as counts and 64-bit sums: the result does not depend
//! on how the images were batched, and the metrics of several processes can be [merged](Metrics::merge) into
//! those of the whole data set.

mod calibration;
mod confusion;
mod error;
mod multi_label;
mod regression;
mod temperature;

use serde::{Deserialize, Serialize};

pub use calibration::{Calibration, CalibrationBin};
pub use confusion::{ClassReport, Confusion, ConfusionMatrix};
pub use error::MetricsError;
pub use multi_label::{MultiLabelMetrics, MultiLabelSummary, RankingPoint};
pub use regression::{RegressionMetrics, RegressionReport, RegressionSummary};
pub use temperature::{TEMPERATURES, TemperatureScaling};

/// Running metrics over the images seen so far.
///
/// ```
/// use effnet_data::metrics::Metrics;
///
/// # fn main() -> Result<(), effnet_data::metrics::MetricsError> {
/// let mut metrics = Metrics::new(3);
/// metrics.push(&[2.0, 0.5, -1.0], 0)?;
/// metrics.push(&[0.1, 0.2, 3.0], 1)?;
/// let top1 = metrics.summary().map(|summary| summary.top1);
/// assert_eq!(top1, Some(0.5));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Sum of the cross-entropies of all images.
    loss: f64,
    top1: u64,
    top5: u64,
    calibration: Calibration,
    confusion: ConfusionMatrix,
}

/// The metrics, with accuracies and the calibration error as fractions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of images.
    pub images: u64,
    /// Top-1 accuracy, 0 to 1.
    pub top1: f64,
    /// Top-5 accuracy, 0 to 1; always 1 with five classes or fewer.
    pub top5: f64,
    /// Mean cross-entropy in nats, without label smoothing.
    pub loss: f64,
    /// Expected calibration error (ECE), 0 to 1, see [`CALIBRATION_BINS`].
    pub ece: f64,
}

impl Summary {
    /// Returns the top-5 accuracy, or `None` with five classes or fewer, where it is always 1 and therefore
    /// meaningless.
    pub fn top5_of(&self, classes: usize) -> Option<f64> {
        (classes > 5).then_some(self.top5)
    }
}

/// Number of equal-width confidence bins (confidence is the highest probability) of the expected calibration
/// error: the mean gap between confidence and accuracy per bin, weighted by the images in the bin (Guo et al.,
/// arXiv:1706.04599, equation 3).
pub const CALIBRATION_BINS: usize = 15;

impl Metrics {
    /// Creates empty metrics for `num_classes` logits per image.
    pub fn new(num_classes: usize) -> Self {
        Self {
            loss: 0.0,
            top1: 0,
            top5: 0,
            calibration: Calibration::default(),
            confusion: ConfusionMatrix::new(num_classes),
        }
    }

    /// Adds one image.
    ///
    /// # Errors
    /// [`MetricsError`] for a wrong number of logits, a label out of range or logits that are not finite;
    /// nothing is then added.
    pub fn push(&mut self, logits: &[f32], label: usize) -> Result<(), MetricsError> {
        let classes = self.num_classes();
        if logits.len() != classes {
            return Err(MetricsError::Shapes {
                classes,
                logits: vec![1, logits.len() as i64],
                labels: vec![1],
            });
        }
        let Some(&own) = logits.get(label) else {
            let label = label as i64;
            return Err(MetricsError::Label { label, classes });
        };
        if let Some(class) = logits.iter().position(|logit| !logit.is_finite()) {
            let found = logits[class];
            return Err(MetricsError::NotFinite { class, found });
        }
        // Ties are broken in favour of the lower class.
        let is_before = |&(class, &logit): &(usize, &f32)| logit > own || (logit == own && class < label);
        let rank = logits.iter().enumerate().filter(is_before).count();
        let predicted = argmax(logits);
        let below = |logit: f32| f64::from(logit) - f64::from(logits[predicted]);
        let total: f64 = logits.iter().map(|&logit| below(logit).exp()).sum();
        self.loss += total.ln() - below(own);
        self.top1 += u64::from(rank < 1);
        self.top5 += u64::from(rank < 5);
        self.calibration.add(1.0 / total, predicted == label);
        self.confusion.add(label, predicted);
        Ok(())
    }

    /// Merges the metrics of other images into these.
    ///
    /// # Errors
    /// [`MetricsError::Merge`] if the number of classes differs.
    pub fn merge(&mut self, other: &Self) -> Result<(), MetricsError> {
        self.confusion.merge(&other.confusion)?;
        self.loss += other.loss;
        self.top1 += other.top1;
        self.top5 += other.top5;
        self.calibration.merge(&other.calibration);
        Ok(())
    }

    /// Number of classes, which is the number of logits per image.
    pub fn num_classes(&self) -> usize {
        self.confusion.num_classes()
    }

    /// Returns the result so far; `None` before the first image.
    pub fn summary(&self) -> Option<Summary> {
        let images = self.confusion.images();
        let fraction = |sum: f64| sum / images as f64;
        (images > 0).then(|| Summary {
            images,
            top1: fraction(self.top1 as f64),
            top5: fraction(self.top5 as f64),
            loss: fraction(self.loss),
            ece: self.calibration.error(),
        })
    }

    /// The confidences of the predictions, and how often they are right.
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// The confusion matrix.
    pub fn confusion(&self) -> &ConfusionMatrix {
        &self.confusion
    }
}

/// Returns the class with the highest logit; ties go to the lowest class.
fn argmax(logits: &[f32]) -> usize {
    let better = |best: usize, class: usize| if logits[class] > logits[best] { class } else { best };
    (0..logits.len()).reduce(better).unwrap_or_default()
}
