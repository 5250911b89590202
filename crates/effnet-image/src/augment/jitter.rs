//! torchvision's `ColorJitter`.

use rand::Rng;
use rand::seq::SliceRandom as _;

use super::Operation;
use super::draw::{uniform, within};
use crate::ImageError;

/// Random brightness, contrast, saturation and hue, in random order.
///
/// An operation whose range contains only the neutral value is skipped.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ColorJitter {
    /// Range of factors for [`Operation::Brightness`], at least 0; the neutral factor is 1.
    pub brightness: (f64, f64),
    /// Range of factors for [`Operation::Contrast`], at least 0; the neutral factor is 1.
    pub contrast: (f64, f64),
    /// Range of factors for [`Operation::Saturation`], at least 0; the neutral factor is 1.
    pub saturation: (f64, f64),
    /// Range of shifts for [`Operation::Hue`], within -0.5 to 0.5; the neutral shift is 0.
    pub hue: (f64, f64),
}

impl Default for ColorJitter {
    /// Returns neutral ranges, which change nothing.
    fn default() -> Self {
        Self::new(0.0, 0.0, 0.0, 0.0)
    }
}

impl ColorJitter {
    /// Creates a jitter with factors from `1 - strength` (at least 0) to `1 + strength` and hue shifts from `-hue`
    /// to `hue`, like torchvision when it is passed single numbers.
    pub fn new(brightness: f64, contrast: f64, saturation: f64, hue: f64) -> Self {
        let factors = |strength: f64| ((1.0 - strength).max(0.0), 1.0 + strength);
        Self {
            brightness: factors(brightness),
            contrast: factors(contrast),
            saturation: factors(saturation),
            hue: (-hue, hue),
        }
    }

    /// Sets [`brightness`](Self::brightness).
    #[must_use]
    pub fn with_brightness(mut self, brightness: (f64, f64)) -> Self {
        self.brightness = brightness;
        self
    }

    /// Sets [`contrast`](Self::contrast).
    #[must_use]
    pub fn with_contrast(mut self, contrast: (f64, f64)) -> Self {
        self.contrast = contrast;
        self
    }

    /// Sets [`saturation`](Self::saturation).
    #[must_use]
    pub fn with_saturation(mut self, saturation: (f64, f64)) -> Self {
        self.saturation = saturation;
        self
    }

    /// Sets [`hue`](Self::hue).
    #[must_use]
    pub fn with_hue(mut self, hue: (f64, f64)) -> Self {
        self.hue = hue;
        self
    }

    /// Samples the strengths of the operations and their order.
    pub fn sample(&self, rng: &mut impl Rng) -> Vec<Operation> {
        let mut operations = Vec::with_capacity(4);
        let mut draw = |range: (f64, f64), neutral: f64, operation: fn(f64) -> Operation| {
            if range != (neutral, neutral) {
                operations.push(operation(uniform(range, rng)));
            }
        };
        draw(self.brightness, 1.0, Operation::Brightness);
        draw(self.contrast, 1.0, Operation::Contrast);
        draw(self.saturation, 1.0, Operation::Saturation);
        draw(self.hue, 0.0, Operation::Hue);
        operations.shuffle(rng);
        operations
    }

    pub(super) fn check(&self) -> Result<(), ImageError> {
        let factors = (0.0, f64::MAX);
        within(
            self.brightness,
            factors,
            "a range of brightness factors of 0 or more",
        )?;
        within(self.contrast, factors, "a range of contrast factors of 0 or more")?;
        within(
            self.saturation,
            factors,
            "a range of saturation factors of 0 or more",
        )?;
        within(self.hue, (-0.5, 0.5), "a range of hue shifts within -0.5 to 0.5")
    }
}
