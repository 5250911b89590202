//! WebP, still or animated (first frame only).

use std::io::{BufRead, Cursor, Seek};

use image_webp::{DecodingError, WebPDecoder};

use super::Raster;
use super::samples::Samples;
use super::webp_animation::Frame;
use crate::DecodeOptions;
use crate::error::Fault;
use crate::orientation::Orientation;

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Raster, Fault> {
    // The decoder would not notice if the last few bytes were missing, but the file states its length.
    let stated = bytes.get(4..).and_then(<[u8]>::first_chunk::<4>);
    let stated = stated.map_or(0, |size| u64::from(u32::from_le_bytes(*size)) + 8);
    if (bytes.len() as u64) < stated {
        return Err(Fault::truncated(format_args!(
            "{} of {stated} bytes",
            bytes.len()
        )));
    }
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(fault)?;
    let (width, height) = decoder.dimensions();
    // Memory for planes, alpha, an animation's canvas and frame, the image, and RGB.
    let peak_bytes = if decoder.is_animated() { 16 } else { 12 };
    let _permit = options.admit(u64::from(width), u64::from(height), peak_bytes)?;
    let (width, height) = (width as usize, height as usize);
    let samples = if decoder.is_animated() {
        let frame = Frame::find(bytes).ok_or_else(|| Fault::malformed("it has no frame"))?;
        if frame.left + frame.width > width || frame.top + frame.height > height {
            return Err(Fault::malformed("a frame outside the image"));
        }
        let mut still = WebPDecoder::new(Cursor::new(&frame.file)).map_err(fault)?;
        if still.dimensions() != (frame.width as u32, frame.height as u32) {
            return Err(Fault::malformed("a frame with contradictory sizes"));
        }
        frame.place(read(&mut still, options)?, width, height)
    } else {
        read(&mut decoder, options)?
    };
    // Damaged metadata does not affect the image.
    let exif = decoder.exif_metadata().ok().flatten();
    let xmp = decoder.xmp_metadata().ok().flatten();
    Ok(Raster {
        width,
        height,
        samples,
        orientation: Orientation::find(exif.as_deref(), xmp.as_deref()),
        warnings: Vec::new(),
    })
}

/// Reads the pixels of a still image.
fn read<R: BufRead + Seek>(decoder: &mut WebPDecoder<R>, options: &DecodeOptions) -> Result<Samples, Fault> {
    decoder.set_memory_limit(options.memory_limit());
    let size = decoder
        .output_buffer_size()
        .ok_or_else(|| Fault::malformed("its size overflows"))?;
    let mut buffer = vec![0; size];
    decoder.read_image(&mut buffer).map_err(fault)?;
    Ok(if decoder.has_alpha() {
        Samples::Rgba(buffer)
    } else {
        Samples::Rgb(buffer)
    })
}

fn fault(error: DecodingError) -> Fault {
    match error {
        DecodingError::IoError(error) => Fault::from_io(&error),
        DecodingError::UnsupportedFeature(feature) => Fault::unsupported(feature),
        other => Fault::malformed(other),
    }
}
