//! The evaluation transform: resize, center crop and normalisation, as in torchvision and timm.

use crate::normalize::{IMAGENET_MEAN, IMAGENET_STD, check, check_destination, normalize};
use crate::resize::{View, resize_region};
use crate::{Image, ImageError, Interpolation, Rectangle, Region};

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
    /// Creates timm's transform for a square input of `image_size` pixels: the centre 87.5 % of the short side, bicubic
    /// interpolation, ImageNet's mean and standard deviation.
    pub const fn new(image_size: usize) -> Self {
        Self {
            image_size,
            resize: ResizeMode::CropPct(0.875),
            interpolation: Interpolation::Bicubic,
            mean: IMAGENET_MEAN,
            std: IMAGENET_STD,
        }
    }

    /// Sets [`image_size`](Self::image_size).
    #[must_use]
    pub const fn with_image_size(mut self, image_size: usize) -> Self {
        self.image_size = image_size;
        self
    }

    /// Sets [`resize`](Self::resize).
    #[must_use]
    pub const fn with_resize(mut self, resize: ResizeMode) -> Self {
        self.resize = resize;
        self
    }

    /// Sets [`resize`](Self::resize) to [`ResizeMode::CropPct`], as timm's configurations do.
    #[must_use]
    pub const fn with_crop_pct(self, crop_pct: f64) -> Self {
        self.with_resize(ResizeMode::CropPct(crop_pct))
    }

    /// Sets [`resize`](Self::resize) to [`ResizeMode::ShortSide`], as torchvision's transforms do.
    #[must_use]
    pub const fn with_resize_size(self, resize_size: usize) -> Self {
        self.with_resize(ResizeMode::ShortSide(resize_size))
    }

    /// Sets [`interpolation`](Self::interpolation).
    #[must_use]
    pub const fn with_interpolation(mut self, interpolation: Interpolation) -> Self {
        self.interpolation = interpolation;
        self
    }

    /// Sets [`mean`](Self::mean).
    #[must_use]
    pub const fn with_mean(mut self, mean: [f32; 3]) -> Self {
        self.mean = mean;
        self
    }

    /// Sets [`std`](Self::std).
    #[must_use]
    pub const fn with_std(mut self, std: [f32; 3]) -> Self {
        self.std = std;
        self
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
        let (width, height) = self.resized_size(image.width(), image.height())?;
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

    /// Returns the part of an image of `width` x `height` pixels that the network sees. It sticks out of the image
    /// where the crop is padded with black.
    ///
    /// # Errors
    /// The errors of [`EvalTransform::check`].
    pub fn visible_region(&self, width: usize, height: usize) -> Result<Region, ImageError> {
        let resized = self.resized_size(width.max(1), height.max(1))?;
        let along = |side: usize, resized: usize| {
            let resized = resized.max(1);
            let scale = side as f64 / resized as f64;
            let (start, padding, _) = center(resized, self.image_size);
            let offset = start as f64 - padding as f64;
            (offset * scale, self.image_size as f64 * scale)
        };
        let (left, width) = along(width, resized.0);
        let (top, height) = along(height, resized.1);
        Ok(Region {
            left,
            top,
            width,
            height,
        })
    }

    /// Returns width and height after the resize (torchvision's `_compute_resized_output_size`).
    fn resized_size(&self, width: usize, height: usize) -> Result<(usize, usize), ImageError> {
        self.check()?;
        let short_target = self.resize_target();
        if let ResizeMode::Squash(_) = self.resize {
            return Ok((short_target, short_target));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Marks one pixel of an image, and returns where the transform moves it, as the weighted mean.
    fn moved(
        transform: &EvalTransform,
        (width, height): (usize, usize),
        (x, y): (usize, usize),
    ) -> (f64, f64) {
        let mut pixels = vec![0; width * height * 3];
        for side in 0..64 {
            let at = (y + side / 8) * width + x + side % 8;
            pixels[3 * at..3 * at + 3].fill(255);
        }
        let seen = transform.crop(&Image::from_parts(width, height, pixels)).unwrap();
        let (mut total, mut across, mut down) = (0.0, 0.0, 0.0);
        for (index, pixel) in seen.pixels().as_chunks::<3>().0.iter().enumerate() {
            let weight = f64::from(pixel[0]);
            total += weight;
            across += weight * ((index % transform.image_size) as f64 + 0.5);
            down += weight * ((index / transform.image_size) as f64 + 0.5);
        }
        (across / total, down / total)
    }

    #[test]
    fn the_visible_region_undoes_resize_crop_and_padding() {
        let bilinear = Interpolation::Bilinear;
        for (transform, size, corner) in [
            (
                EvalTransform::new(224).with_crop_pct(0.875),
                (640, 400),
                (300, 150),
            ),
            (EvalTransform::new(100).with_crop_pct(0.5), (301, 517), (140, 230)),
            // Larger than the resized image, on one side or on both.
            (
                EvalTransform::new(200)
                    .with_resize_size(100)
                    .with_interpolation(bilinear),
                (400, 150),
                (180, 60),
            ),
            (
                EvalTransform::new(99)
                    .with_resize_size(60)
                    .with_interpolation(bilinear),
                (60, 61),
                (11, 40),
            ),
            (
                EvalTransform {
                    resize: ResizeMode::Squash(0.9),
                    ..EvalTransform::new(224).with_crop_pct(0.9)
                },
                (640, 300),
                (80, 200),
            ),
        ] {
            let region = transform.visible_region(size.0, size.1).unwrap();
            let found = moved(&transform, size, corner);
            let side = transform.image_size as f64;
            let back = (
                region.left + found.0 * region.width / side,
                region.top + found.1 * region.height / side,
            );
            let center = (corner.0 as f64 + 4.0, corner.1 as f64 + 4.0);
            let distance = (back.0 - center.0).hypot(back.1 - center.1);
            assert!(distance < 0.75, "{transform:?}: {back:?}, expected {center:?}");
        }
    }

    #[test]
    fn one_pixel_is_seen_as_a_whole() {
        let region = EvalTransform::new(224)
            .with_crop_pct(1.0)
            .visible_region(1, 1)
            .unwrap();
        assert_eq!(
            (region.left, region.top, region.width, region.height),
            (0.0, 0.0, 1.0, 1.0)
        );
    }
}
