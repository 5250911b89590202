//! Resizing to the bit as Pillow 13's `Image.resize` does it on RGB (`libImaging/Resample.c`).
//!
//! Two passes of integer convolution with an 8-bit picture between them. Each output pixel depends
//! on nothing but its own taps, so a part of the output can be computed alone; that is what a centre
//! crop after a resize needs.

mod passes;
mod taps;

use effnet_architecture::Interpolation;

use crate::{Image, ImageError, Rectangle};
use passes::{horizontal, vertical};
use taps::Taps;

/// The largest output in pixels: what 2 GiB of RGB hold.
const MAX_OUTPUT: usize = (1 << 31) / 3;

impl Image {
    /// Resizes to `width` x `height`, byte for byte as Pillow 13 does.
    ///
    /// # Errors
    /// [`ImageError::OutputSize`] when a side is 0 or the output would exceed 2 GiB.
    pub fn resize(
        &self,
        width: usize,
        height: usize,
        interpolation: Interpolation,
    ) -> Result<Self, ImageError> {
        let pixels = resize_region(View::of(self), width, height, interpolation, whole(width, height))?;
        Ok(Self::from_parts(width, height, pixels))
    }

    /// Cuts `crop` out and resizes that to `width` x `height`, byte for byte as Pillow's `crop` and
    /// `resize` one after the other (torchvision's `resized_crop`): pixels outside of the crop play
    /// no part.
    ///
    /// # Errors
    /// [`ImageError::Crop`] when `crop` has no pixels or is not inside of the picture, else as
    /// [`Image::resize`].
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

fn whole(width: usize, height: usize) -> Rectangle {
    Rectangle {
        left: 0,
        top: 0,
        width,
        height,
    }
}

/// The pixels of `region` in the picture `source` resized to `width` x `height`: `[height, width, 3]` of the
/// region, which must lie inside.
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
            // Only the columns that the second pass reads.
            let (first, last) = x.source_range();
            let between = vertical(source.columns(first, last - first), &y);
            let stride = (last - first) * 3;
            horizontal(View::new(&between, stride, stride), &x.shifted(first))
        }
        (Some(x), Some(y)) => {
            // Only the rows that the second pass reads.
            let (first, last) = y.source_range();
            let between = horizontal(source.lines(first, last - first), &x);
            let stride = region.width * 3;
            vertical(View::new(&between, stride, stride), &y.shifted(first))
        }
    })
}

/// Pillow's choice since version 13: the vertical pass goes first when it takes away more than twice
/// as many rows as the other takes columns. The 8-bit rounding between the passes makes it visible.
fn vertical_first(source: View<'_>, width: usize, height: usize) -> bool {
    let less_height = source.height() as i64 - height as i64;
    let less_width = source.width() as i64 - width as i64;
    less_height > 0 && less_height > less_width * 2
}

/// A rectangle of RGB pixels inside a larger buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    bytes: &'a [u8],
    /// Bytes from one row to the next.
    stride: usize,
    /// Bytes of a row.
    row: usize,
}

impl<'a> View<'a> {
    fn new(bytes: &'a [u8], stride: usize, row: usize) -> Self {
        Self { bytes, stride, row }
    }

    pub(crate) fn of(image: &'a Image) -> Self {
        Self::new(image.pixels(), image.width() * 3, image.width() * 3)
    }

    /// `count` rows from `first` on.
    fn lines(self, first: usize, count: usize) -> Self {
        let bytes = &self.bytes[first * self.stride..];
        let end = (count * self.stride).min(bytes.len());
        Self::new(&bytes[..end], self.stride, self.row)
    }

    /// The rows of a region.
    fn rows(self, region: Rectangle) -> Self {
        self.lines(region.top, region.height)
    }

    /// `count` columns from `first` on.
    fn columns(self, first: usize, count: usize) -> Self {
        Self::new(&self.bytes[first * 3..], self.stride, count * 3)
    }

    /// Row `y` and everything behind it.
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
