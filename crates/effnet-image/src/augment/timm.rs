//! timm's RandAugment, which was used to train most of timm's EfficientNets.

use std::str::FromStr;

use rand::{Rng, RngExt as _};
use rand_distr::{Distribution as _, StandardNormal};

use super::draw::{chance, check_probability, either_sign};
use super::{InterpolationChoice, Kernel, Operation, Sampling};
use crate::{IMAGENET_MEAN, ImageError, Interpolation};

/// The magnitude that means full strength.
const FULL: f64 = 10.0;

/// timm's operations (`_RAND_TRANSFORMS`).
#[derive(Debug, Clone, Copy)]
enum TimmOperation {
    AutoContrast,
    Equalize,
    Invert,
    Rotate,
    Posterize,
    Solarize,
    SolarizeAdd,
    Color,
    Contrast,
    Brightness,
    Sharpness,
    ShearX,
    ShearY,
    TranslateXRel,
    TranslateYRel,
}

const SPACE: [TimmOperation; 15] = [
    TimmOperation::AutoContrast,
    TimmOperation::Equalize,
    TimmOperation::Invert,
    TimmOperation::Rotate,
    TimmOperation::Posterize,
    TimmOperation::Solarize,
    TimmOperation::SolarizeAdd,
    TimmOperation::Color,
    TimmOperation::Contrast,
    TimmOperation::Brightness,
    TimmOperation::Sharpness,
    TimmOperation::ShearX,
    TimmOperation::ShearY,
    TimmOperation::TranslateXRel,
    TimmOperation::TranslateYRel,
];

/// RandAugment as in timm 1.0: operations are chosen uniformly from 15, and each is applied with a given
/// probability and a random magnitude.
///
/// It can be parsed from timm's notation, such as `rand-m9-mstd0.5`, with the keys `m`, `mstd`, `mmax`, `n`, `p`
/// and `inc`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct TimmRandAugment {
    /// Mean magnitude; 10 is full strength (`m`).
    pub magnitude: f64,
    /// Standard deviation of the magnitude (`mstd`). If it is infinite, the magnitude is uniform from 0 to
    /// `magnitude`.
    pub magnitude_std: f64,
    /// Maximum magnitude (`mmax`).
    pub magnitude_max: f64,
    /// Number of operations per image (`n`).
    pub num_layers: usize,
    /// Probability of applying each operation (`p`).
    pub probability: f64,
    /// Whether the effect of every operation increases with the magnitude (`inc1`). Otherwise, posterize, solarize
    /// and the colour operations have strong effects at low magnitudes.
    pub increasing: bool,
    /// The interpolation of geometric operations.
    pub interpolation: InterpolationChoice,
    /// The fill colour for pixels outside the image.
    pub fill: [u8; 3],
}

impl Default for TimmRandAugment {
    /// Returns the policy `rand-m10` with random interpolation, and ImageNet's mean colour as the fill colour.
    fn default() -> Self {
        Self {
            magnitude: FULL,
            magnitude_std: 0.0,
            magnitude_max: FULL,
            num_layers: 2,
            probability: 0.5,
            increasing: false,
            interpolation: InterpolationChoice::Random,
            fill: IMAGENET_MEAN.map(|mean| (mean * 255.0).round_ties_even() as u8),
        }
    }
}

impl TimmRandAugment {
    /// Sets [`magnitude`](Self::magnitude).
    #[must_use]
    pub fn with_magnitude(mut self, magnitude: f64) -> Self {
        self.magnitude = magnitude;
        self
    }

    /// Sets [`magnitude_std`](Self::magnitude_std).
    #[must_use]
    pub fn with_magnitude_std(mut self, magnitude_std: f64) -> Self {
        self.magnitude_std = magnitude_std;
        self
    }

    /// Sets [`magnitude_max`](Self::magnitude_max).
    #[must_use]
    pub fn with_magnitude_max(mut self, magnitude_max: f64) -> Self {
        self.magnitude_max = magnitude_max;
        self
    }

    /// Sets [`num_layers`](Self::num_layers).
    #[must_use]
    pub fn with_num_layers(mut self, num_layers: usize) -> Self {
        self.num_layers = num_layers;
        self
    }

    /// Sets [`probability`](Self::probability).
    #[must_use]
    pub fn with_probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }

    /// Sets [`increasing`](Self::increasing).
    #[must_use]
    pub fn with_increasing(mut self, increasing: bool) -> Self {
        self.increasing = increasing;
        self
    }

    /// Sets [`interpolation`](Self::interpolation).
    #[must_use]
    pub fn with_interpolation(mut self, interpolation: impl Into<InterpolationChoice>) -> Self {
        self.interpolation = interpolation.into();
        self
    }

    /// Sets [`fill`](Self::fill).
    #[must_use]
    pub fn with_fill(mut self, fill: [u8; 3]) -> Self {
        self.fill = fill;
        self
    }

    /// Samples the operations for a `width` x `height` image.
    pub fn sample(&self, width: usize, height: usize, rng: &mut impl Rng) -> Vec<(Operation, Sampling)> {
        let mut operations = Vec::with_capacity(self.num_layers);
        for _ in 0..self.num_layers {
            let kind = SPACE[rng.random_range(0..SPACE.len())];
            if !chance(self.probability, rng) {
                continue;
            }
            let level = self.level(rng);
            let operation = self.operation(kind, level, width, height, rng);
            let kernel = match self.interpolation.sample(rng) {
                Interpolation::Bilinear => Kernel::Bilinear,
                Interpolation::Bicubic => Kernel::Bicubic,
                Interpolation::Nearest => Kernel::Nearest,
            };
            let sampling = Sampling {
                kernel,
                fill: self.fill,
            };
            operations.push((operation, sampling));
        }
        operations
    }

    fn level(&self, rng: &mut impl Rng) -> f64 {
        let level = if self.magnitude_std.is_infinite() {
            rng.random::<f64>() * self.magnitude
        } else if self.magnitude_std > 0.0 {
            let normal: f64 = StandardNormal.sample(rng);
            self.magnitude + self.magnitude_std * normal
        } else {
            self.magnitude
        };
        level.clamp(0.0, self.magnitude_max)
    }

    fn operation(
        &self,
        kind: TimmOperation,
        level: f64,
        width: usize,
        height: usize,
        rng: &mut impl Rng,
    ) -> Operation {
        let share = level / FULL;
        match kind {
            TimmOperation::AutoContrast => Operation::AutoContrast,
            TimmOperation::Equalize => Operation::Equalize,
            TimmOperation::Invert => Operation::Invert,
            TimmOperation::Rotate => Operation::Rotate(either_sign(share * 30.0, rng)),
            TimmOperation::Posterize => Operation::Posterize(self.bits(share)),
            TimmOperation::Solarize => Operation::Solarize(self.threshold(share)),
            TimmOperation::SolarizeAdd => Operation::SolarizeAdd(((share * 110.0) as u8).min(128)),
            TimmOperation::Color => Operation::Saturation(self.factor(share, rng)),
            TimmOperation::Contrast => Operation::Contrast(self.factor(share, rng)),
            TimmOperation::Brightness => Operation::Brightness(self.factor(share, rng)),
            TimmOperation::Sharpness => Operation::Sharpness(self.factor(share, rng)),
            TimmOperation::ShearX => Operation::ShearX(either_sign(share * 0.3, rng)),
            TimmOperation::ShearY => Operation::ShearY(either_sign(share * 0.3, rng)),
            TimmOperation::TranslateXRel => {
                Operation::TranslateX(either_sign(share * 0.45 * width as f64, rng))
            }
            TimmOperation::TranslateYRel => {
                Operation::TranslateY(either_sign(share * 0.45 * height as f64, rng))
            }
        }
    }

    fn bits(&self, share: f64) -> u8 {
        let bits = (share * 4.0) as u8;
        if self.increasing {
            4_u8.saturating_sub(bits)
        } else {
            bits
        }
    }

    fn threshold(&self, share: f64) -> f64 {
        let threshold = (share * 256.0).trunc().min(256.0);
        if self.increasing {
            256.0 - threshold
        } else {
            threshold
        }
    }

    fn factor(&self, share: f64, rng: &mut impl Rng) -> f64 {
        if self.increasing {
            (1.0 + either_sign(share * 0.9, rng)).max(0.1)
        } else {
            share * 1.8 + 0.1
        }
    }

    pub(super) fn check(&self) -> Result<(), ImageError> {
        check_probability(self.probability, "a RandAugment probability from 0 to 1")?;
        let levels = [self.magnitude, self.magnitude_std, self.magnitude_max];
        if levels.iter().all(|level| *level >= 0.0) {
            return Ok(());
        }
        Err(ImageError::InvalidTransform {
            expected: "RandAugment magnitudes of 0 or more",
            found: format!("{levels:?}"),
        })
    }
}

impl FromStr for TimmRandAugment {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        let unknown = || ImageError::InvalidTransform {
            expected: "timm's RandAugment notation, such as rand-m9-mstd0.5-inc1",
            found: text.to_owned(),
        };
        let mut augment = Self::default();
        for part in text.strip_prefix("rand").ok_or_else(unknown)?.split('-').skip(1) {
            let number = part.find(|c: char| c.is_ascii_digit()).ok_or_else(unknown)?;
            let (key, value) = part.split_at(number);
            let value: f64 = value.parse().map_err(|_| unknown())?;
            match key {
                "m" => augment.magnitude = value,
                // As in timm, values above 100 mean uniform.
                "mstd" if value > 100.0 => augment.magnitude_std = f64::INFINITY,
                "mstd" => augment.magnitude_std = value,
                "mmax" => augment.magnitude_max = value,
                "n" => augment.num_layers = value as usize,
                "p" => augment.probability = value,
                "inc" => augment.increasing = value != 0.0,
                _ => return Err(unknown()),
            }
        }
        augment.check()?;
        Ok(augment)
    }
}
