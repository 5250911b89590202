//! AutoAugment with the ImageNet policy (arXiv:1805.09501, table 9; torchvision's magnitudes).

use rand::{Rng, RngExt as _};

use super::draw::chance;
use super::magnitudes::{Magnitude, OperationKind};
use super::{Operation, Sampling};

/// One operation of a sub-policy: its kind, probability and level (0 to 9).
type Choice = (OperationKind, f64, usize);

/// The 25 sub-policies. Operations without a magnitude have level 0.
const IMAGENET: [[Choice; 2]; 25] = {
    use OperationKind::{
        AutoContrast, Color, Contrast, Equalize, Invert, Posterize, Rotate, Sharpness, ShearX, Solarize,
    };
    [
        [(Posterize, 0.4, 8), (Rotate, 0.6, 9)],
        [(Solarize, 0.6, 5), (AutoContrast, 0.6, 0)],
        [(Equalize, 0.8, 0), (Equalize, 0.6, 0)],
        [(Posterize, 0.6, 7), (Posterize, 0.6, 6)],
        [(Equalize, 0.4, 0), (Solarize, 0.2, 4)],
        [(Equalize, 0.4, 0), (Rotate, 0.8, 8)],
        [(Solarize, 0.6, 3), (Equalize, 0.6, 0)],
        [(Posterize, 0.8, 5), (Equalize, 1.0, 0)],
        [(Rotate, 0.2, 3), (Solarize, 0.6, 8)],
        [(Equalize, 0.6, 0), (Posterize, 0.4, 6)],
        [(Rotate, 0.8, 8), (Color, 0.4, 0)],
        [(Rotate, 0.4, 9), (Equalize, 0.6, 0)],
        [(Equalize, 0.0, 0), (Equalize, 0.8, 0)],
        [(Invert, 0.6, 0), (Equalize, 1.0, 0)],
        [(Color, 0.6, 4), (Contrast, 1.0, 8)],
        [(Rotate, 0.8, 8), (Color, 1.0, 2)],
        [(Color, 0.8, 8), (Solarize, 0.8, 7)],
        [(Sharpness, 0.4, 7), (Invert, 0.6, 0)],
        [(ShearX, 0.6, 5), (Equalize, 1.0, 0)],
        [(Color, 0.4, 0), (Equalize, 0.6, 0)],
        [(Equalize, 0.4, 0), (Solarize, 0.2, 4)],
        [(Solarize, 0.6, 5), (AutoContrast, 0.6, 0)],
        [(Invert, 0.6, 0), (Equalize, 1.0, 0)],
        [(Color, 0.6, 4), (Contrast, 1.0, 8)],
        [(Equalize, 0.8, 0), (Equalize, 0.6, 0)],
    ]
};

/// AutoAugment: applies to each image one of the 25 sub-policies found on ImageNet, of two operations each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct AutoAugment {
    /// Interpolation and fill colour for geometric operations.
    pub sampling: Sampling,
}

impl AutoAugment {
    /// Sets [`sampling`](Self::sampling).
    #[must_use]
    pub fn with_sampling(mut self, sampling: Sampling) -> Self {
        self.sampling = sampling;
        self
    }

    /// Samples the operations for a `width` x `height` image: none, one or two.
    pub fn sample(&self, width: usize, height: usize, rng: &mut impl Rng) -> Vec<(Operation, Sampling)> {
        let sub_policy = IMAGENET[rng.random_range(0..IMAGENET.len())];
        let mut operations = Vec::with_capacity(sub_policy.len());
        for (kind, probability, level) in sub_policy {
            if chance(probability, rng) {
                let magnitude = Magnitude {
                    level,
                    bins: 10,
                    width,
                    height,
                };
                operations.push((magnitude.of(kind, rng), self.sampling));
            }
        }
        operations
    }
}
