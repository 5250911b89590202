//! JPEG, like Pillow's `JpegImagePlugin`, with two decoders.
//!
//! `libjpeg-turbo-rs` is fast and equals libjpeg-turbo bit for bit on sound files with common layouts. Files
//! that are damaged, or whose colours or sampling have to be guessed, go to libjpeg itself
//! (`jpeg_libjpeg.rs`), because only libjpeg defines what they look like.

use std::panic;

use libjpeg_turbo_rs::decode::pipeline::Decoder;
use libjpeg_turbo_rs::{DecodeLimits, PixelFormat, ScalingFactor};

use super::jpeg_header::JpegHeader;
use super::jpeg_libjpeg;
use super::jpeg_scans::{self, Verdict};
use super::samples::{Samples, cmyk_to_rgb, map_pixels};
use super::{Part, Raster};
use crate::error::Fault;
use crate::orientation::Orientation;
use crate::{DecodeOptions, Image, ImageWarning, Needed, Region};

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Raster, Fault> {
    let header = JpegHeader::read(bytes)?;
    let _permit = header.check(options)?;
    let (pixels, warning) = pixels(bytes, &header, options.max_pixels)?;
    Ok(Raster {
        width: header.width,
        height: header.height,
        samples: match header.components.len() {
            1 => Samples::Gray(pixels),
            3 => Samples::Rgb(pixels),
            // Adobe stores CMYK inverted, and Pillow assumes that every four-channel file was written by
            // Adobe software.
            _ => Samples::Rgb(map_pixels(&pixels, |inks: [u8; 4]| {
                cmyk_to_rgb(inks.map(|ink| 255 - ink))
            })),
        },
        orientation: header.orientation,
        warnings: warning.map(ImageWarning::damaged).into_iter().collect(),
    })
}

/// Decodes what is needed of a sound file. Returns `None` if all of it has to be decoded: for other files, and if a
/// part is hardly less work.
pub(super) fn part(
    bytes: &[u8],
    options: &DecodeOptions,
    needed: impl FnOnce(usize, usize) -> Option<Needed>,
) -> Result<Option<Part>, Fault> {
    let header = JpegHeader::read(bytes)?;
    if !header.is_ordinary() || !matches!(header.components.len(), 1 | 3) {
        return Ok(None);
    }
    let orientation = if options.apply_orientation {
        header.orientation
    } else {
        Orientation::Upright
    };
    let stored = (header.width, header.height);
    let _permit = header.check(options)?;
    let upright = orientation.size(stored);
    let needed = needed(upright.0, upright.1);
    let Some(needed) = needed.filter(|needed| needed.crop.lies_within(upright.0, upright.1)) else {
        return Ok(None);
    };
    let reduction = reduction(needed);
    let window = Window::around(
        orientation.stored(Region::of(needed.crop), stored),
        reduction,
        &header,
    );
    let Verdict::Sound(guarded) = jpeg_scans::check(bytes, &header) else {
        return Ok(None);
    };
    let Some(pixels) = decode_window(&guarded, &header, window, options.max_pixels) else {
        return Ok(None);
    };
    let samples = match header.components.len() {
        1 => Samples::Gray(pixels),
        _ => Samples::Rgb(pixels),
    };
    let place = orientation.upright(window.place(), stored);
    let (width, height, pixels) =
        orientation.apply(window.width, window.height, samples.into_rgb(options.alpha));
    Ok(Some(Part {
        image: Image::from_parts(width, height, pixels),
        size: upright,
        place,
    }))
}

/// Returns how many times smaller along each side a file can be decoded.
fn reduction(Needed { crop, size }: Needed) -> usize {
    let ratio = crop.width.min(crop.height) as f64 / size as f64;
    // Closer to the resolution of the result, the decoder's own filter would show.
    [8, 4, 2]
        .into_iter()
        .find(|reduction| ratio >= *reduction as f64 * LEAST_DETAIL)
        .unwrap_or(1)
}

/// How many pixels along each side a crop needs at least after decoding for each pixel of the result.
const LEAST_DETAIL: f64 = 2.0;

/// The pixels to decode, counted at the lower resolution.
#[derive(Debug, Clone, Copy)]
struct Window {
    reduction: usize,
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl Window {
    /// Returns the smallest window that the decoder can decode around a part of the stored image, with what a filter
    /// needs around it.
    fn around(part: Region, reduction: usize, header: &JpegHeader) -> Self {
        /// Beyond the edges, in pixels of the lower resolution: chroma that is interpolated, and the filter.
        const MARGIN: usize = 4;
        let samplings = header.components.iter().map(|component| component.sampling);
        let unit = usize::from(samplings.map(|(h, _)| h).max().unwrap_or(1)) * 8 / reduction;
        let span = |start: f64, length: f64, side: usize, unit: usize| {
            let side = side.div_ceil(reduction);
            let first = (start / reduction as f64) as usize;
            let first = first.saturating_sub(MARGIN) / unit * unit;
            let last = ((start + length) / reduction as f64).ceil() as usize + MARGIN;
            (first, last.min(side) - first)
        };
        let (left, width) = span(part.left, part.width, header.width, unit.max(1));
        let (top, height) = span(part.top, part.height, header.height, 1);
        Self {
            reduction,
            left,
            top,
            width,
            height,
        }
    }

    /// The place of the window in the stored image.
    fn place(self) -> Region {
        let full = |count: usize| (count * self.reduction) as f64;
        Region {
            left: full(self.left),
            top: full(self.top),
            width: full(self.width),
            height: full(self.height),
        }
    }
}

/// Returns the pixels of a window of a sound file; `None` if the decoder finds that the file is not sound.
fn decode_window(guarded: &[u8], header: &JpegHeader, window: Window, max_pixels: u64) -> Option<Vec<u8>> {
    let limits = DecodeLimits {
        max_pixels,
        ..DecodeLimits::default()
    };
    let format = match header.components.len() {
        1 => PixelFormat::Grayscale,
        _ => PixelFormat::Rgb,
    };
    let Window {
        reduction,
        left,
        top,
        width,
        height,
    } = window;
    let decoded = panic::catch_unwind(|| {
        let decoder = Decoder::new_with_limits(guarded, limits)?;
        decoder
            .with_output_format(format)
            .with_scale(ScalingFactor::new(1, reduction as u32))
            .with_crop_region(left, top, width, height)
            .decode_image()
    });
    let image = decoded.ok()?.ok()?;
    (image.width == width && image.height == height).then_some(image.data)
}

/// Returns the pixels (grey, RGB or CMYK) of a file whose header was admitted, and libjpeg's first warning.
pub(super) fn pixels(
    bytes: &[u8],
    header: &JpegHeader,
    max_pixels: u64,
) -> Result<(Vec<u8>, Option<String>), Fault> {
    let fast = if header.is_ordinary() {
        match jpeg_scans::check(bytes, header) {
            Verdict::Sound(guarded) => decode_fast(&guarded, header, max_pixels),
            Verdict::Unsure => None,
        }
    } else {
        None
    };
    if let Some(pixels) = fast {
        return Ok((pixels, None));
    }
    jpeg_scans::admit(bytes, header)?;
    let decoded = jpeg_libjpeg::decode(bytes, header)?;
    Ok((decoded.pixels, decoded.warning))
}

/// Returns the pixels of a sound file; `None` if the decoder finds that the file is not sound.
fn decode_fast(guarded: &[u8], header: &JpegHeader, max_pixels: u64) -> Option<Vec<u8>> {
    let limits = DecodeLimits {
        max_pixels,
        ..DecodeLimits::default()
    };
    let format = match header.components.len() {
        1 => PixelFormat::Grayscale,
        3 => PixelFormat::Rgb,
        _ => PixelFormat::Cmyk,
    };
    // The decoder is bounds-checked but may still panic on hostile input, and one bad file must not end a run
    // over a million files.
    let decoded = panic::catch_unwind(|| {
        let decoder = Decoder::new_with_limits(guarded, limits)?;
        decoder.with_output_format(format).decode_image()
    });
    let image = decoded.ok()?.ok()?;
    (image.width == header.width && image.height == header.height).then_some(image.data)
}
