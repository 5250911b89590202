//! `RandAugment` (arXiv 1909.13719) as torchvision has it.

use rand::{Rng, RngExt as _};

use super::magnitudes::{Magnitude, Name};
use super::{Operation, Sampling};
use crate::ImageError;

const SPACE: [Name; 14] = [
    Name::Identity,
    Name::ShearX,
    Name::ShearY,
    Name::TranslateX,
    Name::TranslateY,
    Name::Rotate,
    Name::Brightness,
    Name::Color,
    Name::Contrast,
    Name::Sharpness,
    Name::Posterize,
    Name::Solarize,
    Name::AutoContrast,
    Name::Equalize,
];

/// A number of operations drawn evenly from 14, all at one level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RandAugment {
    /// Operations a picture (the paper's N).
    pub num_ops: usize,
    /// The level, from 0 to below `num_magnitude_bins` (the paper's M).
    pub magnitude: usize,
    /// The number of levels, at least 2.
    pub num_magnitude_bins: usize,
    /// How geometric operations take their pixels.
    pub sampling: Sampling,
}

impl Default for RandAugment {
    /// Two operations at level 9 of 31 (torchvision's defaults).
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
    /// Draws the operations for a picture of `width` x `height`.
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
                expected: "a RandAugment magnitude below the number of bins, of which there are at least 2",
                found: format!("magnitude {} of {} bins", self.magnitude, self.num_magnitude_bins),
            });
        }
        Ok(())
    }
}
