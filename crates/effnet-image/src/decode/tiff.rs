//! TIFF and BigTIFF, first page, like Pillow's `TiffImagePlugin`.

use std::borrow::Cow;
use std::io::Cursor;

use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::Tag;
use tiff::{ColorType, TiffError};

use super::Raster;
use super::samples::{Samples, clip_to_8_bits, cmyk_to_rgb, map_pixels, unpack_bits};
use super::tiff_palette::Palette;
use crate::DecodeOptions;
use crate::error::Fault;
use crate::orientation::Orientation;

const WHITE_IS_ZERO: u16 = 0;
const ASSOCIATED_ALPHA: u16 = 1;

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Raster, Fault> {
    // The library refuses palettes, but their indices decode like grey.
    let palette = Palette::find(bytes);
    let bytes = match &palette {
        Some(palette) => Cow::Owned(palette.as_gray(bytes)),
        None => Cow::Borrowed(bytes),
    };
    let mut decoder = Decoder::new(Cursor::new(bytes.as_ref())).map_err(fault)?;
    let (width, height) = decoder.dimensions().map_err(fault)?;
    let color = decoder.colortype().map_err(fault)?;
    let sample_bytes = u64::from(color.bit_depth()).div_ceil(8) * u64::from(color.num_samples());
    options.admit(u64::from(width), u64::from(height), sample_bytes * 2 + 4)?;
    let mut limits = Limits::default();
    limits.decoding_buffer_size = options.memory_limit();
    limits.intermediate_buffer_size = options.memory_limit();
    let mut decoder = decoder.with_limits(limits);

    let photometric = tag(&mut decoder, Tag::PhotometricInterpretation)?;
    let orientation = tag(&mut decoder, Tag::Orientation)?.unwrap_or(1);
    let extra = tag(&mut decoder, Tag::ExtraSamples)?;
    let pixels = decoder.read_image().map_err(fault)?;
    let page = Page {
        width: width as usize,
        color,
        white_is_zero: photometric == Some(WHITE_IS_ZERO),
        premultiplied: extra == Some(ASSOCIATED_ALPHA),
    };
    let samples = match (page.samples(pixels)?, palette) {
        (Samples::Gray(indices), Some(palette)) => Samples::Rgb(palette.look_up(&indices)),
        (samples, _) => samples,
    };
    Ok(Raster {
        width: width as usize,
        height: height as usize,
        samples,
        orientation: Orientation::from_tag(orientation),
        warnings: Vec::new(),
    })
}

/// The first value of a tag.
fn tag(decoder: &mut Decoder<Cursor<&[u8]>>, tag: Tag) -> Result<Option<u16>, Fault> {
    let values = decoder.find_tag_unsigned_vec::<u16>(tag).map_err(fault)?;
    Ok(values.and_then(|values| values.first().copied()))
}

struct Page {
    width: usize,
    color: ColorType,
    white_is_zero: bool,
    premultiplied: bool,
}

impl Page {
    fn samples(&self, pixels: DecodingResult) -> Result<Samples, Fault> {
        use ColorType as C;
        use DecodingResult as D;
        Ok(match (self.color, pixels) {
            (C::Gray(bits @ (1 | 2 | 4)), D::U8(packed)) => {
                let stride = (self.width * usize::from(bits)).div_ceil(8);
                let scale = match bits {
                    1 => 255,
                    2 => 85,
                    _ => 17,
                };
                let mut gray = unpack_bits(&packed, self.width, stride, bits);
                for sample in &mut gray {
                    *sample *= scale;
                }
                Samples::Gray(gray)
            }
            (C::Gray(8), D::U8(gray)) => Samples::Gray(gray),
            (C::Gray(16), D::U16(gray)) => {
                // The library inverts 16-bit white-is-zero, Pillow does not: undo it.
                let invert = if self.white_is_zero { u16::MAX } else { 0 };
                let clipped = gray.into_iter().map(|value| clip_to_8_bits(value ^ invert));
                Samples::Gray(clipped.collect())
            }
            (C::Gray(16), D::I16(gray)) => Samples::Gray(gray.into_iter().map(clip).collect()),
            (C::Gray(32), D::I32(gray)) => Samples::Gray(gray.into_iter().map(clip).collect()),
            (C::Gray(32), D::U32(gray)) => {
                // Pillow reads these as signed.
                Samples::Gray(gray.into_iter().map(|value| clip(value as i32)).collect())
            }
            (C::Gray(32), D::F32(gray)) => {
                let gray = gray.into_iter();
                // The cast of a float saturates, like Pillow's `CLIP8`, and truncates.
                Samples::Gray(gray.map(|value| self.uninverted(value) as u8).collect())
            }
            (
                C::GrayA(8)
                | C::Multiband {
                    bit_depth: 8,
                    num_samples: 2,
                },
                D::U8(pairs),
            ) => Samples::GrayAlpha(pairs),
            (C::RGB(8) | C::YCbCr(8), D::U8(rgb)) => Samples::Rgb(rgb),
            (C::RGB(16), D::U16(rgb)) => Samples::Rgb(high_bytes(&rgb)),
            (C::RGBA(8), D::U8(rgba)) => Samples::Rgba(self.straight(rgba)),
            (C::RGBA(16), D::U16(rgba)) => Samples::Rgba(self.straight(high_bytes(&rgba))),
            (C::CMYK(8), D::U8(inks)) => Samples::Rgb(map_pixels(&inks, cmyk_to_rgb)),
            (C::CMYK(16), D::U16(inks)) => Samples::Rgb(map_pixels(&high_bytes(&inks), cmyk_to_rgb)),
            (color, _) => return Err(Fault::unsupported(format_args!("the colour type {color:?}"))),
        })
    }

    fn uninverted(&self, value: f32) -> f32 {
        if self.white_is_zero { 1.0 - value } else { value }
    }

    /// Undoes premultiplied alpha, like Pillow's `unpackRGBa`.
    fn straight(&self, mut rgba: Vec<u8>) -> Vec<u8> {
        if self.premultiplied {
            for [r, g, b, alpha] in rgba.as_chunks_mut::<4>().0 {
                for value in [r, g, b] {
                    *value = match *alpha {
                        0 => 0,
                        alpha => (u16::from(*value) * 255 / u16::from(alpha)).min(255) as u8,
                    };
                }
            }
        }
        rgba
    }
}

fn clip(value: impl Into<i32>) -> u8 {
    value.into().clamp(0, 255) as u8
}

fn high_bytes(samples: &[u16]) -> Vec<u8> {
    samples.iter().map(|sample| (sample >> 8) as u8).collect()
}

fn fault(error: TiffError) -> Fault {
    match error {
        TiffError::IoError(error) => Fault::from_io(&error),
        TiffError::UnsupportedError(feature) => Fault::unsupported(feature),
        other => Fault::malformed(other),
    }
}
