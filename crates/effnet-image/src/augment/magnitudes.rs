//! Maps a policy's magnitude level to an operation's strength, as torchvision does (`_augmentation_space`, shared
//! by its `AutoAugment` and `RandAugment`).

use rand::Rng;

use super::Operation;
use super::draw::either_sign;

/// The kind of an operation in a policy, without its magnitude.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OperationKind {
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

/// A level from 0 to `bins - 1`, and the size of the image, to which translations are relative.
#[derive(Debug, Clone, Copy)]
pub(super) struct Magnitude {
    pub(super) level: usize,
    pub(super) bins: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Magnitude {
    /// Returns the operation with this magnitude, in a random direction if it has one.
    pub(super) fn of(self, kind: OperationKind, rng: &mut impl Rng) -> Operation {
        let mut signed = |end: f64| either_sign(self.linear(0.0, end), rng);
        // torchvision converts to degrees and back, which changes the last bit.
        let angle = |shear: f64| shear.atan().to_degrees().to_radians();
        let translated = |end: f64, side: usize| end / 331.0 * side as f64;
        match kind {
            OperationKind::Identity => Operation::Identity,
            OperationKind::ShearX => Operation::ShearX(angle(signed(0.3)).tan()),
            OperationKind::ShearY => {
                let (sine, cosine) = angle(signed(0.3)).sin_cos();
                Operation::ShearY(sine / cosine)
            }
            // Translations are truncated to whole pixels.
            OperationKind::TranslateX => Operation::TranslateX(signed(translated(150.0, self.width)).trunc()),
            OperationKind::TranslateY => {
                Operation::TranslateY(signed(translated(150.0, self.height)).trunc())
            }
            OperationKind::Rotate => Operation::Rotate(signed(30.0)),
            OperationKind::Brightness => Operation::Brightness(1.0 + signed(0.9)),
            OperationKind::Color => Operation::Saturation(1.0 + signed(0.9)),
            OperationKind::Contrast => Operation::Contrast(1.0 + signed(0.9)),
            OperationKind::Sharpness => Operation::Sharpness(1.0 + signed(0.9)),
            OperationKind::Posterize => Operation::Posterize(self.bits()),
            OperationKind::Solarize => Operation::Solarize(self.linear(255.0, 0.0)),
            OperationKind::AutoContrast => Operation::AutoContrast,
            OperationKind::Equalize => Operation::Equalize,
            OperationKind::Invert => Operation::Invert,
        }
    }

    /// Computes `torch.linspace(start, end, bins)[level]`, in single precision and from the nearer end.
    fn linear(self, start: f64, end: f64) -> f64 {
        let (start, end) = (start as f32, end as f32);
        let step = (end - start) / (self.bins - 1) as f32;
        f64::from(if self.level < self.bins / 2 {
            start + step * self.level as f32
        } else {
            end - step * (self.bins - self.level - 1) as f32
        })
    }

    /// Returns the number of bits to keep, 4 to 8.
    fn bits(self) -> u8 {
        let dropped = self.level as f32 / ((self.bins - 1) as f32 / 4.0);
        8 - dropped.round_ties_even() as u8
    }
}
