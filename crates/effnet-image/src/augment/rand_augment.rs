//! torchvision's version of RandAugment (arXiv:1909.13719).

use rand::{Rng, RngExt as _};

use super::magnitudes::{Magnitude, OperationKind};
use super::{Operation, Sampling};
use crate::ImageError;

const SPACE: [OperationKind; 14] = [
    OperationKind::Identity,
    OperationKind::ShearX,
    OperationKind::ShearY,
    OperationKind::TranslateX,
    OperationKind::TranslateY,
    OperationKind::Rotate,
    OperationKind::Brightness,
    OperationKind::Color,
    OperationKind::Contrast,
    OperationKind::Sharpness,
    OperationKind::Posterize,
    OperationKind::Solarize,
    OperationKind::AutoContrast,
    OperationKind::Equalize,
];

/// RandAugment: a fixed number of operations, chosen uniformly from 14, all at the same magnitude.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RandAugment {
    /// Number of operations per image (the paper's N).
    pub num_ops: usize,
    /// The magnitude, from 0 to `num_magnitude_bins - 1` (the paper's M).
    pub magnitude: usize,
    /// The number of magnitudes, at least 2.
    pub num_magnitude_bins: usize,
    /// Interpolation and fill colour for geometric operations.
    pub sampling: Sampling,
}

impl Default for RandAugment {
    /// Returns torchvision's defaults: two operations at magnitude 9 of 31.
    fn default() -> Self {
        Self {
            num_ops: 2,
            magnitude: 9,
            num_magnitude_bins: 31,
            sampling: Sampling::default(),
        }
    }
}

impl RandAugment {
    /// Sets [`num_ops`](Self::num_ops).
    #[must_use]
    pub fn with_num_ops(mut self, num_ops: usize) -> Self {
        self.num_ops = num_ops;
        self
    }

    /// Sets [`magnitude`](Self::magnitude).
    #[must_use]
    pub fn with_magnitude(mut self, magnitude: usize) -> Self {
        self.magnitude = magnitude;
        self
    }

    /// Sets [`num_magnitude_bins`](Self::num_magnitude_bins).
    #[must_use]
    pub fn with_num_magnitude_bins(mut self, num_magnitude_bins: usize) -> Self {
        self.num_magnitude_bins = num_magnitude_bins;
        self
    }

    /// Sets [`sampling`](Self::sampling).
    #[must_use]
    pub fn with_sampling(mut self, sampling: Sampling) -> Self {
        self.sampling = sampling;
        self
    }

    /// Samples the operations for a `width` x `height` image.
    pub fn sample(&self, width: usize, height: usize, rng: &mut impl Rng) -> Vec<(Operation, Sampling)> {
        let magnitude = Magnitude {
            level: self.magnitude,
            bins: self.num_magnitude_bins,
            width,
            height,
        };
        let mut operation = || magnitude.of(SPACE[rng.random_range(0..SPACE.len())], rng);
        (0..self.num_ops).map(|_| (operation(), self.sampling)).collect()
    }

    pub(super) fn check(&self) -> Result<(), ImageError> {
        if self.num_magnitude_bins < 2 || self.magnitude >= self.num_magnitude_bins {
            return Err(ImageError::InvalidTransform {
                expected: "a RandAugment magnitude below the number of bins, and at least 2 bins",
                found: format!("magnitude {} of {} bins", self.magnitude, self.num_magnitude_bins),
            });
        }
        Ok(())
    }
}
