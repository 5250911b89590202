//! What augmentation policies are made of.

use super::affine::{Affine, Sampling};
use super::{color, sharpness, tone};
use crate::Image;

/// A change of a picture that keeps its size, with its strength.
///
/// Byte for byte what Pillow 13 makes of RGB on x86-64, with torchvision 0.26's meaning of the
/// parameters (`torchvision.transforms.functional` on PIL images).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Operation {
    /// Nothing.
    Identity,
    /// Moves each row to the left by this share of its distance from the top (the tangent of the
    /// angle; negative: to the right).
    ShearX(f64),
    /// Moves each column up by this share of its distance from the left (negative: down).
    ShearY(f64),
    /// Moves the picture to the right by this number of pixels.
    TranslateX(f64),
    /// Moves the picture down by this number of pixels.
    TranslateY(f64),
    /// Turns the picture counterclockwise about its centre by this number of degrees.
    Rotate(f64),
    /// Multiplies; 1 changes nothing, 0 is black (`adjust_brightness`).
    Brightness(f64),
    /// Scales the distance from the mean grey; 1 changes nothing (`adjust_contrast`).
    Contrast(f64),
    /// Scales the distance from the pixel's grey; 1 changes nothing, 0 is grey (`adjust_saturation`,
    /// AutoAugment's "Color").
    Saturation(f64),
    /// Turns the hue by this share of the circle, -0.5 to 0.5; 0 changes nothing but for the rounding
    /// of HSV (`adjust_hue`).
    Hue(f64),
    /// Scales the distance from the smoothed picture; 1 changes nothing, 0 is smooth
    /// (`adjust_sharpness`).
    Sharpness(f64),
    /// Keeps this number of high bits of each sample, 1 to 8; 0 is black (Pillow refuses it since 13).
    Posterize(u8),
    /// Inverts the samples from this level on.
    Solarize(f64),
    /// Adds this to the samples below 128.
    SolarizeAdd(u8),
    /// Stretches each channel to 0 to 255.
    AutoContrast,
    /// Spreads each channel's levels evenly.
    Equalize,
    /// Subtracts each sample from 255.
    Invert,
}

impl Operation {
    /// Changes `image`. `sampling` matters to shears, translations and rotations only.
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
