//! Calibration: whether a confidence of 80 % means that 80 % are right.

use serde::{Deserialize, Serialize};

use super::CALIBRATION_BINS;

/// One confidence bin of a reliability diagram.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CalibrationBin {
    /// Number of images.
    pub images: u64,
    /// Number of images that were predicted correctly.
    pub correct: u64,
    /// Sum of the confidences of the images.
    pub confidence: f64,
}

impl CalibrationBin {
    /// Returns the fraction of correct images and their mean confidence; `None` without images.
    pub fn accuracy_and_confidence(&self) -> Option<(f64, f64)> {
        let images = self.images as f64;
        (self.images > 0).then(|| (self.correct as f64 / images, self.confidence / images))
    }
}

/// Predictions by their confidence, in [`CALIBRATION_BINS`] bins of equal width.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration([CalibrationBin; CALIBRATION_BINS]);

impl Calibration {
    /// Adds a prediction with a confidence in `(0, 1]`.
    pub fn add(&mut self, confidence: f64, correct: bool) {
        // A bin includes its upper bound but not its lower one.
        let bin = (confidence * CALIBRATION_BINS as f64).ceil() as usize;
        let bin = &mut self.0[bin.clamp(1, CALIBRATION_BINS) - 1];
        bin.images += 1;
        bin.correct += u64::from(correct);
        bin.confidence += confidence;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (bin, other) in self.0.iter_mut().zip(&other.0) {
            bin.images += other.images;
            bin.correct += other.correct;
            bin.confidence += other.confidence;
        }
    }

    /// The bins, from the lowest confidence to the highest.
    pub fn bins(&self) -> &[CalibrationBin] {
        &self.0
    }

    /// Returns the mean confidence of all predictions, 0 to 1: above their accuracy, the network is too confident, below
    /// it not confident enough. 0 without images.
    pub fn mean_confidence(&self) -> f64 {
        self.0.iter().map(|bin| bin.confidence).sum::<f64>() / self.images().max(1) as f64
    }

    fn images(&self) -> u64 {
        self.0.iter().map(|bin| bin.images).sum()
    }

    /// Returns the expected calibration error; 0 without images.
    pub fn error(&self) -> f64 {
        let gap = |bin: &CalibrationBin| (bin.correct as f64 - bin.confidence).abs();
        self.0.iter().map(gap).sum::<f64>() / self.images().max(1) as f64
    }
}
