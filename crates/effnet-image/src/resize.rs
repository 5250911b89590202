//! Antialiased resizing of RGB images, bit for bit the same as Pillow 13's `Image.resize`
//! (`libImaging/Resample.c`).
//!
//! There are two passes of integer convolution, with an 8-bit image in between. Each output pixel depends only on
//! its own taps, so a region of the output can be computed on its own; [`EvalTransform`](crate::EvalTransform)
//! uses this for the center crop.

mod passes;
mod taps;

use effnet_architecture::Interpolation;

use crate::{Image, ImageError, Rectangle, Region};
use passes::{horizontal, vertical};
use taps::Taps;

/// The maximum number of output pixels: 2 GiB of RGB.
const MAX_OUTPUT: usize = (1 << 31) / 3;

impl Image {
    /// Resizes the image to `width` x `height`, byte for byte the same as Pillow 13.
    ///
    /// # Errors
    /// [`ImageError::OutputSize`] if a side is 0 or the output would exceed 2 GiB.
    pub fn resize(
        &self,
        width: usize,
        height: usize,
        interpolation: Interpolation,
    ) -> Result<Self, ImageError> {
        let pixels = resize_region(View::of(self), width, height, interpolation, whole(width, height))?;
        Ok(Self::from_parts(width, height, pixels))
    }

    /// Crops the image, then resizes it to `width` x `height`, byte for byte the same as Pillow's `crop` followed
    /// by `resize` (torchvision's `resized_crop`): pixels outside the crop have no influence.
    ///
    /// # Errors
    /// [`ImageError::Crop`] if `crop` is empty or not inside the image, and the errors of [`Image::resize`].
    pub fn resized_crop(
        &self,
        crop: Rectangle,
        width: usize,
        height: usize,
        interpolation: Interpolation,
    ) -> Result<Self, ImageError> {
        if !crop.lies_within(self.width(), self.height()) {
            return Err(ImageError::Crop {
                crop,
                width: self.width(),
                height: self.height(),
            });
        }
        let source = View::of(self).columns(crop.left, crop.width).rows(crop);
        let pixels = resize_region(source, width, height, interpolation, whole(width, height))?;
        Ok(Self::from_parts(width, height, pixels))
    }
}

/// Resizes a part of an image whose borders need not lie between pixels, like the argument `box` of Pillow's `resize`,
/// but never to the nearest pixel. The part must lie inside the image.
pub(crate) fn resize_box(
    image: &Image,
    part: Region,
    width: usize,
    height: usize,
    interpolation: Interpolation,
) -> Result<Image, ImageError> {
    let interpolation = match interpolation {
        Interpolation::Nearest => Interpolation::Bilinear,
        smooth => smooth,
    };
    if !(1..=MAX_OUTPUT).contains(&width.saturating_mul(height)) {
        return Err(ImageError::OutputSize {
            width,
            height,
            limit: MAX_OUTPUT,
        });
    }
    let source = View::of(image);
    let (columns, rows) = ((part.left, part.width), (part.top, part.height));
    let x = Taps::of_part(image.width(), columns, width, interpolation, 0..width);
    let y = Taps::of_part(image.height(), rows, height, interpolation, 0..height);
    // Compute only the rows that the second pass reads.
    let (first, last) = y.source_range();
    let between = horizontal(source.lines(first, last - first), &x);
    let pixels = vertical(View::new(&between, width * 3, width * 3), &y.shifted(first));
    Ok(Image::from_parts(width, height, pixels))
}

fn whole(width: usize, height: usize) -> Rectangle {
    Rectangle {
        left: 0,
        top: 0,
        width,
        height,
    }
}

/// Resizes `source` to `width` x `height`, and returns the pixels inside `region`, `[region.height, region.width,
/// 3]`. The region must lie inside the result.
pub(crate) fn resize_region(
    source: View<'_>,
    width: usize,
    height: usize,
    interpolation: Interpolation,
    region: Rectangle,
) -> Result<Vec<u8>, ImageError> {
    if !(1..=MAX_OUTPUT).contains(&width.saturating_mul(height)) {
        return Err(ImageError::OutputSize {
            width,
            height,
            limit: MAX_OUTPUT,
        });
    }
    let columns = region.left..region.left + region.width;
    let rows = region.top..region.top + region.height;
    let horizontal_taps =
        (width != source.width()).then(|| Taps::new(source.width(), width, interpolation, columns));
    let vertical_taps =
        (height != source.height()).then(|| Taps::new(source.height(), height, interpolation, rows));

    Ok(match (horizontal_taps, vertical_taps) {
        (None, None) => source.columns(region.left, region.width).rows(region).copied(),
        (Some(x), None) => horizontal(source.rows(region), &x),
        (None, Some(y)) => vertical(source.columns(region.left, region.width), &y),
        (Some(x), Some(y)) if vertical_first(source, width, height) => {
            // Compute only the columns that the second pass reads.
            let (first, last) = x.source_range();
            let between = vertical(source.columns(first, last - first), &y);
            let stride = (last - first) * 3;
            horizontal(View::new(&between, stride, stride), &x.shifted(first))
        }
        (Some(x), Some(y)) => {
            // Compute only the rows that the second pass reads.
            let (first, last) = y.source_range();
            let between = horizontal(source.lines(first, last - first), &x);
            let stride = region.width * 3;
            vertical(View::new(&between, stride, stride), &y.shifted(first))
        }
    })
}

/// Returns whether the vertical pass runs first. Since version 13, Pillow runs it first if it removes more than
/// twice as many rows as the horizontal pass removes columns. The 8-bit rounding between the passes makes the
/// order visible.
fn vertical_first(source: View<'_>, width: usize, height: usize) -> bool {
    let less_height = source.height() as i64 - height as i64;
    let less_width = source.width() as i64 - width as i64;
    less_height > 0 && less_height > less_width * 2
}

/// A rectangle of RGB pixels inside a larger buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    bytes: &'a [u8],
    /// Number of bytes from one row to the next.
    stride: usize,
    /// Number of bytes per row.
    row: usize,
}

impl<'a> View<'a> {
    fn new(bytes: &'a [u8], stride: usize, row: usize) -> Self {
        Self { bytes, stride, row }
    }

    pub(crate) fn of(image: &'a Image) -> Self {
        Self::new(image.pixels(), image.width() * 3, image.width() * 3)
    }

    /// Returns `count` rows, starting at `first`.
    fn lines(self, first: usize, count: usize) -> Self {
        let bytes = &self.bytes[first * self.stride..];
        let end = (count * self.stride).min(bytes.len());
        Self::new(&bytes[..end], self.stride, self.row)
    }

    /// Returns the rows of a region.
    fn rows(self, region: Rectangle) -> Self {
        self.lines(region.top, region.height)
    }

    /// Returns `count` columns, starting at `first`.
    fn columns(self, first: usize, count: usize) -> Self {
        Self::new(&self.bytes[first * 3..], self.stride, count * 3)
    }

    /// Returns row `y` and everything after it.
    fn starting_at(self, y: usize) -> &'a [u8] {
        &self.bytes[y * self.stride..]
    }

    fn width(self) -> usize {
        self.row / 3
    }

    fn height(self) -> usize {
        self.bytes.len().div_ceil(self.stride)
    }

    fn copied(self) -> Vec<u8> {
        let rows = (0..self.height()).map(|y| &self.starting_at(y)[..self.row]);
        rows.flatten().copied().collect()
    }
}
