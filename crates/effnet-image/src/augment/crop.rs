//! `RandomResizedCrop` (torchvision; timm's `RandomResizedCropAndInterpolation` draws the same).

use rand::{Rng, RngExt as _};

use super::draw::{uniform, within};
use crate::{ImageError, Interpolation, Rectangle};

/// A rectangle of random area and aspect ratio, somewhere in the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RandomResizedCrop {
    /// Least and largest share of the picture's area.
    pub scale: (f64, f64),
    /// Least and largest width over height. Logarithms are drawn evenly.
    pub ratio: (f64, f64),
}

impl Default for RandomResizedCrop {
    /// A share from 0.08 to 1, a ratio from 3/4 to 4/3 (torchvision's and timm's defaults).
    fn default() -> Self {
        Self {
            scale: (0.08, 1.0),
            ratio: (3.0 / 4.0, 4.0 / 3.0),
        }
    }
}

impl RandomResizedCrop {
    /// Draws a crop of a picture of `width` x `height`, which must be at least 1 x 1.
    ///
    /// Ten times a crop is drawn until one fits; else it is the central one whose ratio is nearest to
    /// the picture's.
    pub fn sample(&self, width: usize, height: usize, rng: &mut impl Rng) -> Rectangle {
        let area = (width * height) as f64;
        for _ in 0..10 {
            let area = area * uniform(self.scale, rng);
            let ratio = uniform((self.ratio.0.ln(), self.ratio.1.ln()), rng).exp();
            let crop_width = (area * ratio).sqrt().round_ties_even() as usize;
            let crop_height = (area / ratio).sqrt().round_ties_even() as usize;
            if (1..=width).contains(&crop_width) && (1..=height).contains(&crop_height) {
                return Rectangle {
                    top: rng.random_range(0..=height - crop_height),
                    left: rng.random_range(0..=width - crop_width),
                    width: crop_width,
                    height: crop_height,
                };
            }
        }
        self.central(width, height)
    }

    /// What is taken when nothing else fits.
    pub(super) fn central(&self, width: usize, height: usize) -> Rectangle {
        let ratio = width as f64 / height as f64;
        let (mut crop_width, mut crop_height) = (width, height);
        // The rounding may give nothing of a picture that is one pixel thin.
        if ratio < self.ratio.0 {
            crop_height = (width as f64 / self.ratio.0).round_ties_even() as usize;
            crop_height = crop_height.clamp(1, height);
        } else if ratio > self.ratio.1 {
            crop_width = (height as f64 * self.ratio.1).round_ties_even() as usize;
            crop_width = crop_width.clamp(1, width);
        }
        Rectangle {
            left: (width - crop_width) / 2,
            top: (height - crop_height) / 2,
            width: crop_width,
            height: crop_height,
        }
    }

    pub(super) fn check(&self) -> Result<(), ImageError> {
        within(self.scale, (0.0, 1.0), "a range of crop areas from 0 to 1")?;
        let positive = (f64::MIN_POSITIVE, f64::MAX);
        within(self.ratio, positive, "a range of crop ratios above 0")
    }
}

/// A kernel, or one drawn for each use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum InterpolationChoice {
    /// Always bilinear (torchvision's default).
    #[default]
    Bilinear,
    /// Always bicubic.
    Bicubic,
    /// One of the two, evenly (timm's default, `train_interpolation="random"`).
    Random,
}

impl InterpolationChoice {
    /// Draws where there is a choice.
    pub fn sample(self, rng: &mut impl Rng) -> Interpolation {
        match self {
            Self::Bilinear => Interpolation::Bilinear,
            Self::Random if rng.random() => Interpolation::Bilinear,
            Self::Bicubic | Self::Random => Interpolation::Bicubic,
        }
    }
}

impl From<Interpolation> for InterpolationChoice {
    fn from(interpolation: Interpolation) -> Self {
        match interpolation {
            Interpolation::Bilinear => Self::Bilinear,
            Interpolation::Bicubic => Self::Bicubic,
        }
    }
}
