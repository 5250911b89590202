//! torchvision's `RandomResizedCrop`; timm's `RandomResizedCropAndInterpolation` samples the same crops.

use rand::{Rng, RngExt as _};

use super::draw::{uniform, within};
use crate::{ImageError, Interpolation, Rectangle};

/// A crop of random area, aspect ratio and position.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RandomResizedCrop {
    /// Minimum and maximum fraction of the image's area.
    pub scale: (f64, f64),
    /// Minimum and maximum aspect ratio (width / height), sampled log-uniformly.
    pub ratio: (f64, f64),
}

impl Default for RandomResizedCrop {
    /// Returns torchvision's and timm's defaults: scale 0.08 to 1, ratio 3/4 to 4/3.
    fn default() -> Self {
        Self {
            scale: (0.08, 1.0),
            ratio: (3.0 / 4.0, 4.0 / 3.0),
        }
    }
}

impl RandomResizedCrop {
    /// Sets [`scale`](Self::scale).
    #[must_use]
    pub fn with_scale(mut self, scale: (f64, f64)) -> Self {
        self.scale = scale;
        self
    }

    /// Sets [`ratio`](Self::ratio).
    #[must_use]
    pub fn with_ratio(mut self, ratio: (f64, f64)) -> Self {
        self.ratio = ratio;
        self
    }

    /// Samples a crop of a `width` x `height` image, which must be at least 1 x 1.
    ///
    /// After ten samples that do not fit, falls back to a center crop whose aspect ratio is the allowed ratio
    /// nearest to the image's.
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

    /// Returns the center crop used as a fallback.
    pub(super) fn central(&self, width: usize, height: usize) -> Rectangle {
        let ratio = width as f64 / height as f64;
        let (mut crop_width, mut crop_height) = (width, height);
        // Rounding may give 0 for an image that is one pixel wide or high.
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
        within(self.ratio, positive, "a range of crop aspect ratios above 0")
    }
}

/// A fixed interpolation, or a random one for each image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum InterpolationChoice {
    /// Always bilinear (torchvision's default).
    #[default]
    Bilinear,
    /// Always bicubic.
    Bicubic,
    /// Always the nearest pixel.
    Nearest,
    /// Bilinear or bicubic with equal probability (timm's default, `train_interpolation="random"`).
    Random,
}

impl InterpolationChoice {
    /// Returns the interpolation for one image.
    pub fn sample(self, rng: &mut impl Rng) -> Interpolation {
        match self {
            Self::Bilinear => Interpolation::Bilinear,
            Self::Random if rng.random() => Interpolation::Bilinear,
            Self::Bicubic | Self::Random => Interpolation::Bicubic,
            Self::Nearest => Interpolation::Nearest,
        }
    }
}

impl From<Interpolation> for InterpolationChoice {
    fn from(interpolation: Interpolation) -> Self {
        match interpolation {
            Interpolation::Bilinear => Self::Bilinear,
            Interpolation::Bicubic => Self::Bicubic,
            Interpolation::Nearest => Self::Nearest,
        }
    }
}
