//! The operations of augmentation policies.

use super::affine::{Affine, Sampling};
use super::{color, sharpness, tone};
use crate::Image;

/// An image operation with its magnitude, which does not change the size of the image.
///
/// Results equal those of Pillow 13 on x86-64 byte for byte, for RGB. Parameters are as in torchvision 0.26
/// (`torchvision.transforms.functional` on PIL images).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Operation {
    /// Does nothing.
    Identity,
    /// Shears horizontally: moves each row left by this fraction of its distance from the top (the tangent of the
    /// angle), or right if it is negative.
    ShearX(f64),
    /// Shears vertically: moves each column up by this fraction of its distance from the left, or down if it is
    /// negative.
    ShearY(f64),
    /// Moves the image right by this number of pixels.
    TranslateX(f64),
    /// Moves the image down by this number of pixels.
    TranslateY(f64),
    /// Rotates the image counterclockwise about its centre by this angle in degrees.
    Rotate(f64),
    /// Changes the brightness by this factor: 1 changes nothing, 0 gives black (`adjust_brightness`).
    Brightness(f64),
    /// Changes the contrast by this factor: 1 changes nothing, 0 gives the mean grey (`adjust_contrast`).
    Contrast(f64),
    /// Changes the saturation by this factor: 1 changes nothing, 0 gives greyscale (`adjust_saturation`,
    /// AutoAugment's "Color").
    Saturation(f64),
    /// Shifts the hue by this fraction of the colour wheel, -0.5 to 0.5; 0 changes nothing except for rounding in
    /// HSV (`adjust_hue`).
    Hue(f64),
    /// Changes the sharpness by this factor: 1 changes nothing, 0 gives a smoothed image (`adjust_sharpness`).
    Sharpness(f64),
    /// Keeps this number of high bits per sample, 1 to 8; 0 gives black (Pillow 13 and later reject it).
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
