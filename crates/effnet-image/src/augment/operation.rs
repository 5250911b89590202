//! The operations of augmentation policies.

use super::affine::{Affine, Sampling};
use super::{color, sharpness, tone};
use crate::Image;

/// An image operation and its magnitude. The size of the image does not change.
///
/// Byte for byte like Pillow 13 on x86-64 for RGB; parameters as in torchvision 0.26
/// (`torchvision.transforms.functional` on PIL images).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Operation {
    /// Does nothing.
    Identity,
    /// Shears horizontally: moves each row left by this fraction of its distance from the top (the tangent of
    /// the angle; negative: right).
    ShearX(f64),
    /// Shears vertically: moves each column up by this fraction of its distance from the left (negative: down).
    ShearY(f64),
    /// Moves the image right by this number of pixels.
    TranslateX(f64),
    /// Moves the image down by this number of pixels.
    TranslateY(f64),
    /// Rotates the image counterclockwise about its centre, in degrees.
    Rotate(f64),
    /// Brightness factor: 1 changes nothing, 0 is black (`adjust_brightness`).
    Brightness(f64),
    /// Contrast factor: 1 changes nothing, 0 is the mean grey (`adjust_contrast`).
    Contrast(f64),
    /// Saturation factor: 1 changes nothing, 0 is greyscale (`adjust_saturation`, AutoAugment's "Color").
    Saturation(f64),
    /// Shifts the hue by this fraction of the colour wheel, -0.5 to 0.5; 0 changes nothing except for the
    /// rounding of HSV (`adjust_hue`).
    Hue(f64),
    /// Sharpness factor: 1 changes nothing, 0 is smoothed (`adjust_sharpness`).
    Sharpness(f64),
    /// Keeps this number of high bits per sample, 1 to 8; 0 is black (Pillow 13 and later refuse it).
    Posterize(u8),
    /// Inverts samples at or above this threshold.
    Solarize(f64),
    /// Adds this to samples below 128.
    SolarizeAdd(u8),
    /// Stretches each channel to the full range, 0 to 255.
    AutoContrast,
    /// Equalises the histogram of each channel.
    Equalize,
    /// Inverts all samples.
    Invert,
}

impl Operation {
    /// Applies the operation to `image`. `sampling` only affects shears, translations and rotations.
    pub fn apply(self, image: &mut Image, sampling: Sampling) {
        let affine = match self {
            Self::ShearX(factor) => Affine::shear_x(factor),
            Self::ShearY(factor) => Affine::shear_y(factor),
            Self::TranslateX(pixels) => Affine::translation(pixels, 0.0),
            Self::TranslateY(pixels) => Affine::translation(0.0, pixels),
            Self::Rotate(degrees) => Affine::rotation(degrees, image.width(), image.height()),
            Self::Identity => return,
            Self::Brightness(factor) => return tone::brightness(image, factor),
            Self::Contrast(factor) => return tone::contrast(image, factor),
            Self::Saturation(factor) => return color::saturation(image, factor),
            Self::Hue(factor) => return color::hue(image, factor),
            Self::Sharpness(factor) => return sharpness::sharpness(image, factor),
            Self::Posterize(bits) => return tone::posterize(image, bits),
            Self::Solarize(threshold) => return tone::solarize(image, threshold),
            Self::SolarizeAdd(addend) => return tone::solarize_add(image, addend),
            Self::AutoContrast => return tone::auto_contrast(image),
            Self::Equalize => return tone::equalize(image),
            Self::Invert => return tone::invert(image),
        };
        affine.apply(image, sampling);
    }
}
