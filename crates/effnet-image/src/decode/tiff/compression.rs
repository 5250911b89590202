//! Decompresses strips and tiles. Each function stops at the number of bytes that the image needs, so that
//! memory is limited by the size of the image, however much the data would unpack to.

use std::io::{Cursor, Read};

use flate2::{Decompress, FlushDecompress, Status};
use weezl::{BitOrder, LzwStatus, decode::Configuration};

use crate::error::Fault;

/// Output grows in steps of this size, because a few bytes may declare a large strip and then end.
const STEP: usize = 1 << 16;

/// Compression methods that produce bytes without knowledge of the pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    /// CCITT: modified Huffman, Group 3 and Group 4.
    Fax(u16),
    Lzw,
    Jpeg,
    OldJpeg,
    Deflate,
    PackBits,
    Zstandard,
    WebP,
}

impl Compression {
    pub(super) fn of(method: u16) -> Result<Self, Fault> {
        let name = match method {
            1 => return Ok(Self::None),
            2..=4 | 32771 => return Ok(Self::Fax(method)),
            5 => return Ok(Self::Lzw),
            6 => return Ok(Self::OldJpeg),
            7 => return Ok(Self::Jpeg),
            8 | 32946 => return Ok(Self::Deflate),
            32773 => return Ok(Self::PackBits),
            50000 => return Ok(Self::Zstandard),
            50001 => return Ok(Self::WebP),
            9 | 10 | 34661 => "JBIG",
            32766 => "NeXT",
            32809 => "ThunderScan",
            32908 | 32909 => "Pixar",
            34676 | 34677 => "SGI LogLuv",
            33003 | 33005 | 34712 => "JPEG 2000",
            34713 => "Nikon NEF",
            34887 => "LERC",
            34892 => "lossy DNG JPEG",
            34925 => "LZMA",
            48124 | 50002 | 52546 => "JPEG XL",
            other => {
                return Err(Fault::unsupported(format_args!("compression method {other}")));
            }
        };
        Err(Fault::unsupported(format_args!("{name} compression")))
    }

    /// Returns whether the `Predictor` tag applies.
    pub(super) fn predicts(self) -> bool {
        matches!(self, Self::Lzw | Self::Deflate | Self::Zstandard)
    }

    /// Returns whether `FillOrder` reverses the bits of the compressed bytes.
    pub(super) fn reverses_bits(self) -> bool {
        !matches!(self, Self::Jpeg | Self::OldJpeg)
    }

    /// Unpacks exactly `length` bytes.
    pub(super) fn unpack(self, data: &[u8], length: usize) -> Result<Vec<u8>, Fault> {
        let bytes = match self {
            Self::None => data[..length.min(data.len())].to_vec(),
            Self::Lzw => lzw(data, length)?,
            Self::Deflate => deflate(data, length)?,
            Self::PackBits => pack_bits(data, length),
            Self::Zstandard => zstandard(data, length)?,
            // These depend on the size of the image.
            Self::Fax(_) | Self::Jpeg | Self::OldJpeg | Self::WebP => Vec::new(),
        };
        if bytes.len() < length {
            return Err(Fault::truncated(format_args!(
                "{} of {length} bytes of a strip or tile",
                bytes.len()
            )));
        }
        Ok(bytes)
    }
}

fn lzw(data: &[u8], length: usize) -> Result<Vec<u8>, Fault> {
    // Before TIFF 6, codes were packed from the low bit, and their length grew one code later. The first code
    // is always 256.
    let old = matches!(data, [0, second, ..] if second & 1 == 1);
    let mut decoder = if old {
        Configuration::new(BitOrder::Lsb, 8)
    } else {
        Configuration::with_tiff_size_switch(BitOrder::Msb, 8)
    }
    .build();
    let (mut out, mut filled, mut rest) = (Vec::new(), 0, data);
    while filled < length {
        out.resize(length.min(filled + STEP), 0);
        let step = decoder.decode_bytes(rest, &mut out[filled..]);
        rest = &rest[step.consumed_in..];
        filled += step.consumed_out;
        match step.status {
            Ok(LzwStatus::Ok) if step.consumed_in + step.consumed_out > 0 => {}
            Ok(_) => break,
            Err(error) => return Err(Fault::malformed(error)),
        }
    }
    out.truncate(filled);
    Ok(out)
}

fn deflate(data: &[u8], length: usize) -> Result<Vec<u8>, Fault> {
    let mut decoder = Decompress::new(true);
    let (mut out, mut filled) = (Vec::new(), 0);
    while filled < length {
        out.resize(length.min(filled + STEP), 0);
        let (read, written) = (decoder.total_in(), decoder.total_out());
        let rest = data.get(read as usize..).unwrap_or_default();
        let status = decoder
            .decompress(rest, &mut out[filled..], FlushDecompress::None)
            .map_err(Fault::malformed)?;
        filled = decoder.total_out() as usize;
        let stuck = decoder.total_in() == read && decoder.total_out() == written;
        if status == Status::StreamEnd || stuck {
            break;
        }
    }
    out.truncate(filled);
    Ok(out)
}

fn pack_bits(data: &[u8], length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = data;
    while out.len() < length {
        let Some((&count, after)) = rest.split_first() else {
            break;
        };
        let room = length - out.len();
        rest = match count {
            0..=127 => {
                let run = (usize::from(count) + 1).min(after.len());
                out.extend_from_slice(&after[..run.min(room)]);
                &after[run..]
            }
            128 => after,
            129..=255 => {
                let Some((&value, after)) = after.split_first() else {
                    break;
                };
                out.resize(out.len() + (257 - usize::from(count)).min(room), value);
                after
            }
        };
    }
    out
}

fn zstandard(data: &[u8], length: usize) -> Result<Vec<u8>, Fault> {
    let mut source = data;
    let decoder = ruzstd::decoding::StreamingDecoder::new(&mut source).map_err(Fault::malformed)?;
    let mut out = Vec::new();
    decoder
        .take(length as u64)
        .read_to_end(&mut out)
        .map_err(Fault::malformed)?;
    Ok(out)
}

/// Decodes a strip or tile that is a WebP image to interleaved RGB or RGBA.
pub(super) fn webp(data: &[u8], width: usize, height: usize, samples: usize) -> Result<Vec<u8>, Fault> {
    let fault = |error| Fault::malformed(format_args!("WebP data: {error}"));
    let mut decoder = image_webp::WebPDecoder::new(Cursor::new(data)).map_err(fault)?;
    let (wide, high) = decoder.dimensions();
    let stored = if decoder.has_alpha() { 4 } else { 3 };
    if (wide as usize, high as usize) != (width, height) || !(3..=4).contains(&samples) {
        return Err(Fault::malformed(format_args!(
            "a WebP image of {wide} x {high} in a strip or tile of {width} x {height}"
        )));
    }
    let mut pixels = vec![0; width * height * stored];
    decoder.read_image(&mut pixels).map_err(fault)?;
    if stored == samples {
        return Ok(pixels);
    }
    let opaque = [255];
    let pixel = |pixel: &[u8]| -> Vec<u8> { pixel.iter().chain(&opaque).copied().take(samples).collect() };
    Ok(pixels.chunks_exact(stored).flat_map(pixel).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pack_bits_runs_literals_and_padding() {
        // A literal of 3, the no-operation, a run of 4.
        let packed = [2, 10, 11, 12, 128, 253, 7];
        assert_eq!(pack_bits(&packed, 7), [10, 11, 12, 7, 7, 7, 7]);
        assert_eq!(pack_bits(&packed, 5), [10, 11, 12, 7, 7]);
        assert_eq!(pack_bits(&packed[..3], 7), [10, 11]);
    }

    #[test]
    fn methods_that_are_not_read_are_named() {
        for (method, name) in [(34925, "LZMA"), (34712, "JPEG 2000"), (9999, "9999")] {
            let Err(Fault::Unsupported(feature)) = Compression::of(method) else {
                panic!("{method} is accepted");
            };
            assert!(feature.contains(name), "{feature}");
        }
    }
}
