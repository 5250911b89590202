//! JPEG, like Pillow's `JpegImagePlugin`, with two decoders.
//!
//! `libjpeg-turbo-rs` is fast and equals libjpeg-turbo bit for bit on sound files with common layouts. Files
//! that are damaged, or whose colours or sampling have to be guessed, go to libjpeg itself
//! (`jpeg_libjpeg.rs`), because only libjpeg defines what they look like.

use std::panic;

use libjpeg_turbo_rs::decode::pipeline::Decoder;
use libjpeg_turbo_rs::{DecodeLimits, PixelFormat};

use super::Raster;
use super::jpeg_header::JpegHeader;
use super::jpeg_libjpeg;
use super::jpeg_scans::{self, Verdict};
use super::samples::{Samples, cmyk_to_rgb, map_pixels};
use crate::error::Fault;
use crate::{DecodeOptions, ImageWarning};

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
