//! How torchvision turns a level into the strength of an operation (`_augmentation_space` of its
//! `AutoAugment` and `RandAugment`, which have the same).

use rand::Rng;

use super::Operation;
use super::draw::either_sign;

/// What an operation is called in a policy; the strength comes from a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
    Invert,
}

/// A level among `bins` of them, and the picture whose sides bound the translations.
#[derive(Debug, Clone, Copy)]
pub(super) struct Magnitude {
    pub(super) level: usize,
    pub(super) bins: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Magnitude {
    /// The operation of this strength, in one of the two directions if it has any.
    pub(super) fn of(self, name: Name, rng: &mut impl Rng) -> Operation {
        let mut signed = |end: f64| either_sign(self.linear(0.0, end), rng);
        // There and back as torchvision goes, which costs a last bit.
        let angle = |shear: f64| shear.atan().to_degrees().to_radians();
        let translated = |end: f64, side: usize| end / 331.0 * side as f64;
        match name {
            Name::Identity => Operation::Identity,
            Name::ShearX => Operation::ShearX(angle(signed(0.3)).tan()),
            Name::ShearY => {
                let (sine, cosine) = angle(signed(0.3)).sin_cos();
                Operation::ShearY(sine / cosine)
            }
            // Whole pixels, towards zero.
            Name::TranslateX => Operation::TranslateX(signed(translated(150.0, self.width)).trunc()),
            Name::TranslateY => Operation::TranslateY(signed(translated(150.0, self.height)).trunc()),
            Name::Rotate => Operation::Rotate(signed(30.0)),
            Name::Brightness => Operation::Brightness(1.0 + signed(0.9)),
            Name::Color => Operation::Saturation(1.0 + signed(0.9)),
            Name::Contrast => Operation::Contrast(1.0 + signed(0.9)),
            Name::Sharpness => Operation::Sharpness(1.0 + signed(0.9)),
            Name::Posterize => Operation::Posterize(self.bits()),
            Name::Solarize => Operation::Solarize(self.linear(255.0, 0.0)),
            Name::AutoContrast => Operation::AutoContrast,
            Name::Equalize => Operation::Equalize,
            Name::Invert => Operation::Invert,
        }
    }

    /// `torch.linspace(start, end, bins)[level]`, in its single precision and from the nearer end.
    fn linear(self, start: f64, end: f64) -> f64 {
        let (start, end) = (start as f32, end as f32);
        let step = (end - start) / (self.bins - 1) as f32;
        f64::from(if self.level < self.bins / 2 {
            start + step * self.level as f32
        } else {
            end - step * (self.bins - self.level - 1) as f32
        })
    }

    /// Up to 4 of the 8 bits go.
    fn bits(self) -> u8 {
        let dropped = self.level as f32 / ((self.bins - 1) as f32 / 4.0);
        8 - dropped.round_ties_even() as u8
    }
}
