//! Decoders from file bytes to upright RGB, one module per format.
//!
//! Each format module reproduces Pillow's plugin: it checks the header against the limits and returns samples
//! in their native layout. This module does what all formats share: conversion to RGB, alpha and orientation.

mod bmp;
mod bmp_rle;
mod gif;
mod gif_blocks;
mod gif_mend;
mod jpeg;
mod jpeg_header;
#[allow(unsafe_code, reason = "libjpeg calls it from C")]
mod jpeg_idct;
#[allow(unsafe_code, reason = "libjpeg is a C library")]
mod jpeg_libjpeg;
mod jpeg_scans;
mod png;
mod png_mend;
mod pnm;
mod samples;
mod tiff;
mod webp;
mod webp_animation;

use crate::error::Fault;
use crate::orientation::Orientation;
use crate::{DecodeOptions, Format, Image, ImageWarning, Needed, Region};
use samples::Samples;

/// A part of an upright image.
pub(crate) struct Part {
    pub(crate) image: Image,
    /// The width and the height of the whole image.
    pub(crate) size: (usize, usize),
    /// The place of `image` in it.
    pub(crate) place: Region,
}

/// Decodes what is needed of a JPEG. Returns `None` if all of it has to be decoded.
pub(crate) fn jpeg_part(
    bytes: &[u8],
    options: &DecodeOptions,
    needed: impl FnOnce(usize, usize) -> Option<Needed>,
) -> Result<Option<Part>, Fault> {
    jpeg::part(bytes, options, needed)
}

/// A decoded image, before alpha and orientation are applied.
#[derive(Debug)]
struct Raster {
    width: usize,
    height: usize,
    samples: Samples,
    orientation: Orientation,
    /// What was repaired or left out.
    warnings: Vec<ImageWarning>,
}

/// Decodes a file of a known format into an upright RGB image.
pub(crate) fn decode(bytes: &[u8], format: Format, options: &DecodeOptions) -> Result<Image, Fault> {
    let raster = match format {
        Format::Jpeg => jpeg::decode(bytes, options),
        Format::Png => png::decode(bytes, options),
        Format::WebP => webp::decode(bytes, options),
        Format::Bmp => bmp::decode(bytes, options),
        Format::Gif => gif::decode(bytes, options),
        Format::Tiff => tiff::decode(bytes, options),
        Format::Pnm => pnm::decode(bytes, options),
    }?;
    let expected = raster.width * raster.height;
    if raster.samples.pixel_count() != expected {
        return Err(Fault::malformed(format_args!(
            "expected {expected} pixels, decoded {}",
            raster.samples.pixel_count()
        )));
    }
    let pixels = raster.samples.into_rgb(options.alpha);
    let orientation = if options.apply_orientation {
        raster.orientation
    } else {
        Orientation::Upright
    };
    let (width, height, pixels) = orientation.apply(raster.width, raster.height, pixels);
    Ok(Image::from_parts(width, height, pixels).with_warnings(raster.warnings))
}
