//! How an image becomes the input of a network, and what the network is computed in.

use crate::nouns::named;

/// How an image becomes the input: resize, crop, scale to `[0, 1]`, subtract `mean`, divide by `std`.
///
/// It belongs to the weights: a network that was trained with other values gives other logits.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Preprocessing {
    /// Side of the square input in pixels.
    pub image_size: u32,
    /// The short side is resized to `floor(image_size / crop_pct)`. Absent when `resize_size` says it.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub crop_pct: Option<f64>,
    /// The short side is resized to this many pixels.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub resize_size: Option<u32>,
    /// What happens to images that are not square.
    pub crop_mode: CropMode,
    /// Filter of the resize, antialiased as Pillow's is.
    pub interpolation: Interpolation,
    /// Per channel, for values in `[0, 1]`.
    pub mean: [f64; 3],
    /// Per channel, for values in `[0, 1]`.
    pub std: [f64; 3],
}

impl Preprocessing {
    /// Pixels that the short side (both sides for [`CropMode::Squash`]) is resized to.
    pub fn resize_to(&self) -> u32 {
        match (self.resize_size, self.crop_pct) {
            (Some(size), _) => size,
            (None, Some(crop_pct)) => (f64::from(self.image_size) / crop_pct).floor() as u32,
            (None, None) => self.image_size,
        }
    }
}

/// What happens to images that are not square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CropMode {
    /// The short side is resized, the centre is cropped.
    Center,
    /// Both sides are resized, the aspect ratio is lost.
    Squash,
}

named!(CropMode, "crop mode", { Center => "center", Squash => "squash" });

/// The filter of a resize. Both are antialiased: when shrinking, the kernel is widened by the
/// reduction factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Interpolation {
    /// Triangle, support 1 (`PIL.Image.Resampling.BILINEAR`).
    Bilinear,
    /// Keys' cubic with a = -0.5, support 2 (`PIL.Image.Resampling.BICUBIC`).
    #[default]
    Bicubic,
}

named!(Interpolation, "interpolation", { Bilinear => "bilinear", Bicubic => "bicubic" });

/// What a network is computed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// The fastest that keeps the classes of 99 % of images whatever the classifier: fp32 on a CPU,
    /// where bf16 keeps them of 97 % with a random classifier of a thousand classes, whose best two
    /// are close, and of all with a trained one; fp16 on CUDA, whose rounding was simulated only: it
    /// costs about 1 % of the logits.
    #[default]
    Auto,
    /// 32-bit floats; logits within 1e-4 of the plain network's, unless TensorFloat-32 is allowed.
    Fp32,
    /// bfloat16 weights and activations, 32-bit sums; logits off by about 1 % (mean relative error, B0
    /// to B7). On a CPU the layers before the second stage stay in 32 bits; elsewhere every layer is in
    /// 16, for which 5 % to 8 % were simulated.
    Bf16,
    /// 16-bit floats; CUDA only.
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
        let error = "nearest".parse::<Interpolation>().unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown interpolation `nearest`, expected one of bilinear, bicubic"
        );
    }
}
