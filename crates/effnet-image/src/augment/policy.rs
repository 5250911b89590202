//! One type for all augmentation policies.

use std::str::FromStr;

use rand::Rng;

use super::{AutoAugment, Operation, RandAugment, Sampling, TimmRandAugment};
use crate::ImageError;

/// An augmentation policy, which samples operations for each image.
///
/// It can be parsed from `imagenet` ([`AutoAugment`]), `randaugment` ([`RandAugment`] with its defaults) and
/// timm's notation, such as `rand-m9-mstd0.5` ([`TimmRandAugment`]).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Policy {
    /// AutoAugment with the ImageNet policy.
    AutoAugment(AutoAugment),
    /// torchvision's RandAugment.
    RandAugment(RandAugment),
    /// timm's RandAugment.
    TimmRandAugment(TimmRandAugment),
}

impl Policy {
    /// Samples the operations for a `width` x `height` image.
    pub fn sample(&self, width: usize, height: usize, rng: &mut impl Rng) -> Vec<(Operation, Sampling)> {
        match self {
            Self::AutoAugment(policy) => policy.sample(width, height, rng),
            Self::RandAugment(policy) => policy.sample(width, height, rng),
            Self::TimmRandAugment(policy) => policy.sample(width, height, rng),
        }
    }

    pub(super) fn check(&self) -> Result<(), ImageError> {
        match self {
            Self::AutoAugment(_) => Ok(()),
            Self::RandAugment(policy) => policy.check(),
            Self::TimmRandAugment(policy) => policy.check(),
        }
    }
}

impl FromStr for Policy {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        match text {
            "imagenet" => Ok(Self::AutoAugment(AutoAugment::default())),
            "randaugment" => Ok(Self::RandAugment(RandAugment::default())),
            _ if text.starts_with("rand-") => Ok(Self::TimmRandAugment(text.parse()?)),
            _ => Err(ImageError::InvalidTransform {
                expected: "an augmentation policy: imagenet, randaugment, or timm's notation such as rand-m9-mstd0.5",
                found: text.to_owned(),
            }),
        }
    }
}
