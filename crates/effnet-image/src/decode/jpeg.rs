//! JPEG, through `libjpeg-turbo-rs`, which equals libjpeg-turbo (and so Pillow) bit for bit.

use std::panic;

use libjpeg_turbo_rs::decode::pipeline::Decoder;
use libjpeg_turbo_rs::{DecodeLimits, JpegError, PixelFormat};

use super::Raster;
use super::jpeg_header::JpegHeader;
use super::samples::{Samples, cmyk_to_rgb, map_pixels};
use crate::DecodeOptions;
use crate::error::Fault;

/// More scans than any encoder writes; each one costs a pass over the image.
const MAX_SCANS: usize = 500;

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Raster, Fault> {
    let header = JpegHeader::read(bytes)?;
    header.check(options)?;
    // The decoder is bounds-checked but may still panic on hostile input, and one bad file must not end a run
    // over a million. Layouts known to cause panics are refused above.
    let pixels = panic::catch_unwind(|| scan(bytes, &header, options))
        .unwrap_or_else(|_| Err(Fault::malformed("inconsistent scan data")))?;
    Ok(Raster {
        width: header.width,
        height: header.height,
        samples: Samples::Rgb(pixels),
        orientation: header.orientation,
        warnings: Vec::new(),
    })
}

fn scan(bytes: &[u8], header: &JpegHeader, options: &DecodeOptions) -> Result<Vec<u8>, Fault> {
    let limits = DecodeLimits {
        max_pixels: options.max_pixels,
        max_scans: MAX_SCANS,
        ..DecodeLimits::default()
    };
    let decoder = Decoder::new_with_limits(bytes, limits).map_err(|error| fault(&error))?;
    let four_channels = header.sampling.len() == 4;
    let decoder = decoder.with_output_format(if four_channels {
        PixelFormat::Cmyk
    } else {
        PixelFormat::Rgb
    });
    let image = decoder.decode_image().map_err(|error| fault(&error))?;
    Ok(if four_channels {
        // Adobe stores CMYK inverted, and Pillow assumes that every four-channel file is Adobe's.
        map_pixels(&image.data, |inks: [u8; 4]| {
            cmyk_to_rgb(inks.map(|ink| 255 - ink))
        })
    } else {
        image.data
    })
}

fn fault(error: &JpegError) -> Fault {
    match error {
        JpegError::UnexpectedEof => Fault::truncated(error),
        JpegError::Unsupported(feature) => Fault::unsupported(feature),
        other => Fault::malformed(other),
    }
}
