//! timm's `RandAugment`, which most published EfficientNets of timm were trained with.

use std::str::FromStr;

use rand::{Rng, RngExt as _};
use rand_distr::{Distribution as _, StandardNormal};

use super::draw::{chance, check_probability, either_sign};
use super::{InterpolationChoice, Kernel, Operation, Sampling};
use crate::{IMAGENET_MEAN, ImageError, Interpolation};

/// The level of full strength.
const FULL: f64 = 10.0;

/// What timm draws from (`_RAND_TRANSFORMS`).
#[derive(Debug, Clone, Copy)]
enum Name {
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

const SPACE: [Name; 15] = [
    Name::AutoContrast,
    Name::Equalize,
    Name::Invert,
    Name::Rotate,
    Name::Posterize,
    Name::Solarize,
    Name::SolarizeAdd,
    Name::Color,
    Name::Contrast,
    Name::Brightness,
    Name::Sharpness,
    Name::ShearX,
    Name::ShearY,
    Name::TranslateXRel,
    Name::TranslateYRel,
];

/// timm 1.0's `RandAugment`: operations drawn evenly from 15, each applied with a probability, at a
/// level that varies.
///
/// Read from timm's own notation: `"rand-m9-mstd0.5".parse()`, with the keys `m`, `mstd`, `mmax`, `n`,
/// `p` and `inc`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimmRandAugment {
    /// The mean level; 10 is full strength (`m`).
    pub magnitude: f64,
    /// The standard deviation of the level; infinite: evenly from 0 to `magnitude` (`mstd`).
    pub magnitude_std: f64,
    /// The highest level (`mmax`).
    pub magnitude_max: f64,
    /// Operations drawn a picture (`n`).
    pub num_layers: usize,
    /// The probability that a drawn operation is applied (`p`).
    pub probability: f64,
    /// Whether strength grows with the level in all operations (`inc1`). Without it, a low level is
    /// strong in posterize, solarize and those of colour.
    pub increasing: bool,
    /// The kernel of geometric operations.
    pub interpolation: InterpolationChoice,
    /// The colour of what comes from outside of the picture.
    pub fill: [u8; 3],
}

impl Default for TimmRandAugment {
    /// `rand-m10`, random kernels, and ImageNet's mean colour outside.
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
    /// Draws the operations for a picture of `width` x `height`.
    pub fn sample(&self, width: usize, height: usize, rng: &mut impl Rng) -> Vec<(Operation, Sampling)> {
        let mut operations = Vec::with_capacity(self.num_layers);
        for _ in 0..self.num_layers {
            let name = SPACE[rng.random_range(0..SPACE.len())];
            if !chance(self.probability, rng) {
                continue;
            }
            let level = self.level(rng);
            let operation = self.operation(name, level, width, height, rng);
            let kernel = match self.interpolation.sample(rng) {
                Interpolation::Bilinear => Kernel::Bilinear,
                Interpolation::Bicubic => Kernel::Bicubic,
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
        name: Name,
        level: f64,
        width: usize,
        height: usize,
        rng: &mut impl Rng,
    ) -> Operation {
        let share = level / FULL;
        match name {
            Name::AutoContrast => Operation::AutoContrast,
            Name::Equalize => Operation::Equalize,
            Name::Invert => Operation::Invert,
            Name::Rotate => Operation::Rotate(either_sign(share * 30.0, rng)),
            Name::Posterize => Operation::Posterize(self.bits(share)),
            Name::Solarize => Operation::Solarize(self.threshold(share)),
            Name::SolarizeAdd => Operation::SolarizeAdd(((share * 110.0) as u8).min(128)),
            Name::Color => Operation::Saturation(self.factor(share, rng)),
            Name::Contrast => Operation::Contrast(self.factor(share, rng)),
            Name::Brightness => Operation::Brightness(self.factor(share, rng)),
            Name::Sharpness => Operation::Sharpness(self.factor(share, rng)),
            Name::ShearX => Operation::ShearX(either_sign(share * 0.3, rng)),
            Name::ShearY => Operation::ShearY(either_sign(share * 0.3, rng)),
            Name::TranslateXRel => Operation::TranslateX(either_sign(share * 0.45 * width as f64, rng)),
            Name::TranslateYRel => Operation::TranslateY(either_sign(share * 0.45 * height as f64, rng)),
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
            expected: "RandAugment magnitudes from 0",
            found: format!("{levels:?}"),
        })
    }
}

impl FromStr for TimmRandAugment {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        let unknown = || ImageError::InvalidTransform {
            expected: "timm's notation of RandAugment, such as rand-m9-mstd0.5-inc1",
            found: text.to_owned(),
        };
        let mut augment = Self::default();
        for part in text.strip_prefix("rand").ok_or_else(unknown)?.split('-').skip(1) {
            let number = part.find(|c: char| c.is_ascii_digit()).ok_or_else(unknown)?;
            let (key, value) = part.split_at(number);
            let value: f64 = value.parse().map_err(|_| unknown())?;
            match key {
                "m" => augment.magnitude = value,
                // From timm: beyond 100, evenly.
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
