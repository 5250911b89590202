//! PNG, like Pillow's `PngImagePlugin`.

use std::borrow::Cow;
use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, DecodingError, Info, Limits, OutputInfo, Transformations};

use super::samples::{Samples, clip_to_8_bits};
use super::{Raster, png_mend};
use crate::error::Fault;
use crate::orientation::Orientation;
use crate::{DecodeOptions, ImageWarning};

/// Maximum size of unpacked text, which is needed only for the orientation; Pillow's `MAX_TEXT_CHUNK`.
const MAX_TEXT: usize = 1 << 20;

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Raster, Fault> {
    let refused = match decode_sound(bytes, options, false) {
        Err(fault @ (Fault::Truncated(_) | Fault::Malformed(_))) => fault,
        decided => return decided,
    };
    match png_mend::mend(bytes)? {
        Some(mended) => {
            let mut raster = decode_sound(&mended.file, options, true)?;
            raster.warnings.push(ImageWarning::damaged(mended.reason));
            Ok(raster)
        }
        None => Err(refused),
    }
}

fn decode_sound(bytes: &[u8], options: &DecodeOptions, is_mended: bool) -> Result<Raster, Fault> {
    let limits = Limits {
        bytes: options.memory_limit(),
    };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.ignore_checksums(is_mended);
    decoder.set_ignore_iccp_chunk(true);
    // Palettes become RGB, grey with fewer than 8 bits becomes 8 bits, a transparent colour becomes alpha; 16
    // bits are kept.
    decoder.set_transformations(Transformations::EXPAND);
    let header = decoder.read_header_info().map_err(fault)?;
    let (width, height) = header.size();
    let (stored, depth) = (header.color_type, header.bit_depth);
    let _permit = options.admit(u64::from(width), u64::from(height), peak_bytes(stored, depth))?;

    let mut reader = decoder.read_info().map_err(fault)?;
    let size = reader
        .output_buffer_size()
        .ok_or_else(|| Fault::malformed("its size overflows"))?;
    let mut buffer = vec![0; size];
    let output = reader.next_frame(&mut buffer).map_err(fault)?;
    buffer.truncate(output.buffer_size());
    // Metadata may follow the pixels; damage there does not affect the image.
    let _ = reader.finish();
    let is_clipped = stored == ColorType::Grayscale && exceeds_8_bits(&buffer, &output);
    Ok(Raster {
        width: width as usize,
        height: height as usize,
        samples: layout(buffer, output.color_type, output.bit_depth, stored)?,
        orientation: orientation(reader.info()),
        warnings: is_clipped.then_some(ImageWarning::Clipped).into_iter().collect(),
    })
}

/// Returns the peak memory per pixel: the decoded samples, their high bytes, and RGB.
fn peak_bytes(color: ColorType, depth: BitDepth) -> u64 {
    // A transparent colour adds an alpha channel.
    let samples = match color {
        ColorType::Grayscale | ColorType::GrayscaleAlpha => 2,
        ColorType::Rgb | ColorType::Indexed | ColorType::Rgba => 4,
    };
    3 + if depth == BitDepth::Sixteen {
        3 * samples
    } else {
        samples
    }
}

/// Returns whether 16-bit grey has a value that is clipped.
fn exceeds_8_bits(buffer: &[u8], output: &OutputInfo) -> bool {
    let step = match (output.color_type, output.bit_depth) {
        (ColorType::Grayscale, BitDepth::Sixteen) => 2,
        (ColorType::GrayscaleAlpha, BitDepth::Sixteen) => 4,
        _ => return false,
    };
    buffer.iter().step_by(step).any(|high| *high > 0)
}

fn layout(buffer: Vec<u8>, color: ColorType, depth: BitDepth, stored: ColorType) -> Result<Samples, Fault> {
    let is_16_bit = depth == BitDepth::Sixteen;
    let clipped = |pair: &[u8; 2]| clip_to_8_bits(u16::from_be_bytes(*pair));
    Ok(match color {
        ColorType::Grayscale if is_16_bit => {
            Samples::Gray(buffer.as_chunks::<2>().0.iter().map(clipped).collect())
        }
        // 16-bit grey with a transparent value is clipped like any other 16-bit grey.
        ColorType::GrayscaleAlpha if is_16_bit && stored == ColorType::Grayscale => {
            let pixels = buffer.as_chunks::<4>().0.iter();
            let pairs = pixels.flat_map(|[high, low, alpha, _]| [clipped(&[*high, *low]), *alpha]);
            Samples::GrayAlpha(pairs.collect())
        }
        ColorType::Grayscale => Samples::Gray(buffer),
        ColorType::GrayscaleAlpha => Samples::GrayAlpha(high_bytes(buffer, is_16_bit)),
        ColorType::Rgb => Samples::Rgb(high_bytes(buffer, is_16_bit)),
        ColorType::Rgba => Samples::Rgba(high_bytes(buffer, is_16_bit)),
        ColorType::Indexed => return Err(Fault::malformed("a palette image without a palette")),
    })
}

/// Keeps the high byte of 16-bit samples, like Pillow's `;16B` unpackers.
fn high_bytes(buffer: Vec<u8>, is_16_bit: bool) -> Vec<u8> {
    if is_16_bit {
        buffer.iter().step_by(2).copied().collect()
    } else {
        buffer
    }
}

fn orientation(info: &Info<'_>) -> Orientation {
    let legacy = || legacy_exif(info).map(Cow::Owned);
    let exif = info.exif_metadata.clone().or_else(legacy);
    let xmp = info
        .utf8_text
        .iter()
        .find(|text| text.keyword == "XML:com.adobe.xmp")
        .and_then(|text| {
            let mut text = text.clone();
            text.decompress_text_with_limit(MAX_TEXT).ok()?;
            text.get_text().ok()
        });
    Orientation::find(exif.as_deref(), xmp.as_deref().map(str::as_bytes))
}

/// Reads EXIF as older versions of ImageMagick write it: hexadecimal text under "Raw profile type exif",
/// after three lines.
fn legacy_exif(info: &Info<'_>) -> Option<Vec<u8>> {
    const KEYWORD: &str = "Raw profile type exif";
    let plain = info.uncompressed_latin1_text.iter();
    let plain = plain
        .filter(|text| text.keyword == KEYWORD)
        .map(|text| text.text.clone());
    let compressed = info.compressed_latin1_text.iter();
    let compressed = compressed
        .filter(|text| text.keyword == KEYWORD)
        .filter_map(|text| {
            let mut text = text.clone();
            text.decompress_text_with_limit(MAX_TEXT).ok()?;
            text.get_text().ok()
        });
    let text = plain.chain(compressed).next()?;
    let digits = text.split('\n').skip(3).flat_map(str::bytes);
    let nibbles = digits.filter_map(|digit| char::from(digit).to_digit(16));
    let nibbles: Vec<u8> = nibbles.map(|nibble| nibble as u8).collect();
    let pairs = nibbles.as_chunks::<2>().0;
    Some(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

fn fault(error: DecodingError) -> Fault {
    match error {
        DecodingError::IoError(error) => Fault::from_io(&error),
        other => Fault::malformed(other),
    }
}
