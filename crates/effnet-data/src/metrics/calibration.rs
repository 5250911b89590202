//! Expected calibration error.

use serde::{Deserialize, Serialize};

use super::CALIBRATION_BINS;

/// One confidence bin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Bin {
    images: u64,
    correct: u64,
    /// Sum of the confidences of the images.
    confidence: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Calibration([Bin; CALIBRATION_BINS]);

impl Calibration {
    /// Adds an image. `confidence` is the highest probability, in `(0, 1]`.
    pub(crate) fn add(&mut self, confidence: f64, correct: bool) {
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

    /// Returns the expected calibration error; 0 without images.
    pub(crate) fn error(&self) -> f64 {
        let images: u64 = self.0.iter().map(|bin| bin.images).sum();
        let gap = |bin: &Bin| (bin.correct as f64 - bin.confidence).abs();
        self.0.iter().map(gap).sum::<f64>() / images.max(1) as f64
    }
}
