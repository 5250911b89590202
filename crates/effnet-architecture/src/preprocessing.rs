//! The preprocessing of images, and the precision of a network.
//!
//! The manifest, the metadata of weight files, the image transforms and the command line share these types, so
//! that a value read in one place cannot be spelled differently in another.

use crate::named_enum::named;

/// The preprocessing of an image: resize, crop, scale to `[0, 1]`, subtract `mean`, divide by `std`.
///
/// It belongs to the weights: values that differ from those used in training give different logits.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Preprocessing {
    /// Side of the square input in pixels.
    pub image_size: usize,
    /// The short side is resized to `floor(image_size / crop_pct)`. Absent when `resize_size` is set.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub crop_pct: Option<f64>,
    /// The short side is resized to this many pixels.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub resize_size: Option<usize>,
    /// How images that are not square are made square.
    pub crop_mode: CropMode,
    /// The resize filter, antialiased as in Pillow.
    pub interpolation: Interpolation,
    /// Mean per channel, for values in `[0, 1]`.
    pub mean: [f64; 3],
    /// Standard deviation per channel, for values in `[0, 1]`.
    pub std: [f64; 3],
}

impl Preprocessing {
    /// Returns the size in pixels to which the short side (or both sides, for [`CropMode::Squash`]) is resized.
    pub fn resize_to(&self) -> usize {
        match (self.resize_size, self.crop_pct) {
            (Some(size), _) => size,
            (None, Some(crop_pct)) => (self.image_size as f64 / crop_pct).floor() as usize,
            (None, None) => self.image_size,
        }
    }
}

/// How images that are not square are made square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CropMode {
    /// Resize the short side and crop the centre.
    Center,
    /// Resize both sides, ignoring the aspect ratio.
    Squash,
}

named!(CropMode, "crop mode", { Center => "center", Squash => "squash" });

/// A resize filter. Bilinear and bicubic are antialiased: when an image is shrunk, the kernel is widened by the
/// reduction factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Interpolation {
    /// A triangle with support 1 (`PIL.Image.Resampling.BILINEAR`).
    Bilinear,
    /// Keys' cubic with a = -0.5 and support 2 (`PIL.Image.Resampling.BICUBIC`).
    #[default]
    Bicubic,
    /// The pixel at the centre, without antialiasing (`PIL.Image.Resampling.NEAREST`), as in the folders of
    /// `google/efficientnet-*`.
    Nearest,
}

named!(Interpolation, "interpolation", { Bilinear => "bilinear", Bicubic => "bicubic", Nearest => "nearest" });

/// The numeric precision of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// The fastest precision that keeps the predicted class of 99 % of images whatever the classifier: fp32 on a
    /// CPU, fp16 on CUDA.
    ///
    /// On a CPU, bf16 keeps all predictions of a trained classifier, but only 97 % of those of a random classifier
    /// for 1000 classes, whose top two logits are close. The error of fp16 was only simulated: about 1 % of the
    /// logits.
    #[default]
    Auto,
    /// 32-bit floats; logits within 1e-4 of the unfused network's, unless TensorFloat-32 is allowed.
    Fp32,
    /// bfloat16 weights and activations, with 32-bit accumulation. The mean relative error of the logits is about
    /// 1 % (B0 to B7). On a CPU, the layers before the second stage stay in 32 bits; on other devices, all layers
    /// use 16 bits, with a simulated error of 5 to 8 %.
    Bf16,
    /// IEEE 16-bit floats; CUDA only.
    Fp16,
}

named!(Precision, "precision", { Auto => "auto", Fp32 => "fp32", Bf16 => "bf16", Fp16 => "fp16" });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for value in Precision::ALL {
            assert_eq!(value.name().parse(), Ok(value));
        }
        let error = "lanczos".parse::<Interpolation>().unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown interpolation `lanczos`, expected one of bilinear, bicubic, nearest"
        );
    }
}
