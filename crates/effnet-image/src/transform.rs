//! The evaluation transform: resize, center crop and normalisation, as in torchvision and timm.

use crate::normalize::{IMAGENET_MEAN, IMAGENET_STD, check, check_destination, normalize};
use crate::resize::{View, resize_region};
use crate::{Image, ImageError, Interpolation, Rectangle};

/// The size to which an image is resized before the center crop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ResizeMode {
    /// Resize the short side to `floor(image_size / crop_pct)`, keeping the aspect ratio (timm's `center` crop
    /// mode).
    CropPct(f64),
    /// Resize the short side to this many pixels, keeping the aspect ratio (torchvision's
    /// `Resize(resize_size)`).
    ShortSide(usize),
    /// Resize both sides to `floor(image_size / crop_pct)`, ignoring the aspect ratio (timm's `squash` crop
    /// mode).
    Squash(f64),
}

/// Converts an [`Image`] to a network's input, like torchvision's `Resize`, `CenterCrop`, `ToTensor` and
/// `Normalize` on PIL images (timm's evaluation transform has the same steps).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EvalTransform {
    /// Side of the square output in pixels.
    pub image_size: usize,
    /// The size to which the image is resized before the crop.
    pub resize: ResizeMode,
    /// The interpolation of the resize.
    pub interpolation: Interpolation,
    /// Mean of the R, G and B channels, for values from 0 to 1.
    pub mean: [f32; 3],
    /// Standard deviation of the R, G and B channels, for values from 0 to 1.
    pub std: [f32; 3],
}

impl EvalTransform {
    /// Creates timm's transform, with bicubic interpolation and ImageNet's mean and standard deviation.
    pub fn with_crop_pct(image_size: usize, crop_pct: f64) -> Self {
        Self {
            image_size,
            resize: ResizeMode::CropPct(crop_pct),
            interpolation: Interpolation::Bicubic,
            mean: IMAGENET_MEAN,
            std: IMAGENET_STD,
        }
    }

    /// Creates torchvision's transform, with ImageNet's mean and standard deviation.
    pub fn with_resize_size(image_size: usize, resize_size: usize, interpolation: Interpolation) -> Self {
        Self {
            image_size,
            resize: ResizeMode::ShortSide(resize_size),
            interpolation,
            mean: IMAGENET_MEAN,
            std: IMAGENET_STD,
        }
    }

    /// Returns the number of values in one output, `3 * image_size * image_size`.
    pub fn output_len(&self) -> usize {
        3 * self.image_size * self.image_size
    }

    /// Returns the length to which the short side of an image is resized before the crop, or both sides with
    /// [`ResizeMode::Squash`].
    pub fn resize_target(&self) -> usize {
        match self.resize {
            ResizeMode::ShortSide(size) => size,
            ResizeMode::CropPct(fraction) | ResizeMode::Squash(fraction) => {
                (self.image_size as f64 / fraction).floor() as usize
            }
        }
    }

    /// Resizes, crops and normalises the image, and returns `[3, image_size, image_size]`.
    ///
    /// # Errors
    /// [`ImageError::InvalidTransform`] or [`ImageError::OutputSize`] for unusable options.
    pub fn apply(&self, image: &Image) -> Result<Vec<f32>, ImageError> {
        let cropped = self.crop(image)?;
        let mut output = vec![0.0; self.output_len()];
        normalize(cropped.pixels(), self.mean, self.std, &mut output);
        Ok(output)
    }

    /// Like [`EvalTransform::apply`], but writes to one image's slice of a batch `[N, 3, H, W]`.
    ///
    /// # Errors
    /// The errors of [`EvalTransform::apply`], and [`ImageError::DestinationLength`] if `output` does not have
    /// [`EvalTransform::output_len`] values.
    pub fn apply_into(&self, image: &Image, output: &mut [f32]) -> Result<(), ImageError> {
        check_destination(self.image_size, output)?;
        let cropped = self.crop(image)?;
        normalize(cropped.pixels(), self.mean, self.std, output);
        Ok(())
    }

    /// Resizes and crops the image, and returns what the network sees before normalisation.
    ///
    /// Only the rows and columns inside the crop are computed, and are byte for byte the same as in a full resize.
    /// An image smaller than the crop is padded with black, as in `CenterCrop`.
    ///
    /// # Errors
    /// The errors of [`EvalTransform::apply`].
    pub fn crop(&self, image: &Image) -> Result<Image, ImageError> {
        let (width, height) = self.resized(image)?;
        let size = self.image_size;
        let (left, pad_left, kept_width) = center(width, size);
        let (top, pad_top, kept_height) = center(height, size);
        let region = Rectangle {
            left,
            top,
            width: kept_width,
            height: kept_height,
        };
        let pixels = resize_region(View::of(image), width, height, self.interpolation, region)?;
        if (kept_width, kept_height) == (size, size) {
            return Ok(Image::from_parts(size, size, pixels));
        }
        let mut padded = vec![0; size * size * 3];
        let rows = padded.chunks_exact_mut(size * 3).skip(pad_top);
        for (row, kept) in rows.zip(pixels.chunks_exact(kept_width * 3)) {
            row[pad_left * 3..][..kept.len()].copy_from_slice(kept);
        }
        Ok(Image::from_parts(size, size, padded))
    }

    /// Returns width and height after the resize (torchvision's `_compute_resized_output_size`).
    fn resized(&self, image: &Image) -> Result<(usize, usize), ImageError> {
        self.check()?;
        let short_target = self.resize_target();
        if let ResizeMode::Squash(_) = self.resize {
            return Ok((short_target, short_target));
        }
        let (width, height) = (image.width(), image.height());
        let (short, long) = (width.min(height), width.max(height));
        // Python divides floats and truncates.
        let long_target = (short_target.saturating_mul(long) as f64 / short as f64) as usize;
        Ok(if width <= height {
            (short_target, long_target)
        } else {
            (long_target, short_target)
        })
    }

    /// Checks the options, as [`EvalTransform::apply`] does.
    ///
    /// # Errors
    /// [`ImageError::InvalidTransform`] for the first invalid option.
    pub fn check(&self) -> Result<(), ImageError> {
        check(self.image_size, self.mean, self.std)?;
        if let ResizeMode::CropPct(fraction) | ResizeMode::Squash(fraction) = self.resize
            && !(fraction > 0.0 && fraction.is_finite())
        {
            return Err(ImageError::InvalidTransform {
                expected: "a crop fraction above 0",
                found: fraction.to_string(),
            });
        }
        Ok(())
    }
}

/// Returns, for one axis, the offset of the crop in the image, the offset of the image in the crop, and the number
/// of pixels that they share.
fn center(side: usize, crop: usize) -> (usize, usize, usize) {
    if side < crop {
        return (0, (crop - side) / 2, side);
    }
    // Python's `round` rounds halves to even.
    let start = ((side - crop) as f64 / 2.0).round_ties_even() as usize;
    (start, 0, crop)
}
