//! Windows and OS/2 bitmaps, like Pillow's `BmpImagePlugin`.
//!
//! Not a library: the format is small, and the libraries differ from Pillow in how they scale 16-bit colours
//! and which alpha channels they accept.

use super::Raster;
use super::bmp_rle;
use super::samples::{Samples, unpack_bits};
use crate::DecodeOptions;
use crate::error::Fault;
use crate::orientation::Orientation;

const FILE_HEADER: usize = 14;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Rle8,
    Rle4,
    Bitfields,
}

#[derive(Debug)]
struct Header {
    width: usize,
    height: usize,
    top_down: bool,
    bits: u16,
    compression: Compression,
    /// Bit masks of `[r, g, b, a]` in a pixel.
    masks: [u32; 4],
    palette: Vec<[u8; 3]>,
    pixels_at: usize,
}

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Raster, Fault> {
    let header = Header::read(bytes, options)?;
    let data = bytes.get(header.pixels_at..).unwrap_or_default();
    let samples = match header.compression {
        Compression::Rle8 | Compression::Rle4 => {
            let is_rle4 = header.compression == Compression::Rle4;
            let mut indices = bmp_rle::decode(data, header.width, header.height, is_rle4)?;
            if !header.top_down {
                indices = flipped(&indices, header.width);
            }
            Samples::Rgb(header.look_up(&indices))
        }
        Compression::None | Compression::Bitfields => header.unpack(data)?,
    };
    Ok(Raster {
        width: header.width,
        height: header.height,
        samples,
        orientation: Orientation::Upright,
        warnings: Vec::new(),
    })
}

impl Header {
    fn read(bytes: &[u8], options: &DecodeOptions) -> Result<Self, Fault> {
        let size = long(bytes, FILE_HEADER)? as usize;
        let mut header = match size {
            12 => Self {
                width: usize::from(short(bytes, 18)?),
                height: usize::from(short(bytes, 20)?),
                top_down: false,
                bits: short(bytes, 24)?,
                compression: Compression::None,
                masks: [0; 4],
                palette: Vec::new(),
                pixels_at: 0,
            },
            40 | 52 | 56 | 64 | 108 | 124 => Self::read_info(bytes, size)?,
            other => {
                return Err(Fault::unsupported(format_args!("a header of {other} bytes")));
            }
        };
        if !matches!(header.bits, 1 | 4 | 8 | 16 | 24 | 32) {
            return Err(Fault::unsupported(format_args!("{} bits per pixel", header.bits)));
        }
        // Unpacked indices, RGBA and RGB.
        options.admit(header.width as u64, header.height as u64, 8)?;

        let mut after = FILE_HEADER + size;
        if header.compression == Compression::Bitfields && size == 40 {
            after += 12;
        }
        if header.bits <= 8 {
            after = header.read_palette(bytes, size, after)?;
        }
        header.pixels_at = match long(bytes, 10)? as usize {
            0 => after,
            offset => offset,
        };
        Ok(header)
    }

    fn read_info(bytes: &[u8], size: usize) -> Result<Self, Fault> {
        let signed_height = long(bytes, 22)? as i32;
        let bits = short(bytes, 28)?;
        let compression = match (long(bytes, 30)?, bits) {
            (0, 1 | 4 | 8 | 16 | 24 | 32) => Compression::None,
            (1, 8) => Compression::Rle8,
            (2, 4) => Compression::Rle4,
            (3, 16 | 24 | 32) => Compression::Bitfields,
            (compression, bits) => {
                return Err(Fault::unsupported(format_args!(
                    "compression {compression} with {bits} bits per pixel"
                )));
            }
        };
        let mut masks = match bits {
            16 => [0x7C00, 0x3E0, 0x1F, 0],
            _ => [0xFF_0000, 0xFF00, 0xFF, 0],
        };
        if compression == Compression::Bitfields {
            // A 40-byte header is followed by three masks; longer headers contain them.
            let count = if size >= 56 { 4 } else { 3 };
            for (index, mask) in masks.iter_mut().take(count).enumerate() {
                *mask = long(bytes, FILE_HEADER + 40 + 4 * index)?;
            }
            if masks == [0; 4] {
                masks = [0xFF_0000, 0xFF00, 0xFF, 0xFF00_0000];
            }
        }
        Ok(Self {
            width: (long(bytes, 18)? as i32).max(0) as usize,
            height: signed_height.unsigned_abs() as usize,
            top_down: signed_height < 0,
            bits,
            compression,
            masks,
            palette: Vec::new(),
            pixels_at: 0,
        })
    }

    /// Reads the colour table at offset `at` and returns its end.
    fn read_palette(&mut self, bytes: &[u8], size: usize, at: usize) -> Result<usize, Fault> {
        let entry = if size == 12 { 3 } else { 4 };
        let stated = if size == 12 { 0 } else { long(bytes, 46)? };
        let colors = match stated as usize {
            0 => 1 << self.bits,
            colors if colors <= 65536 => colors,
            colors => {
                return Err(Fault::malformed(format_args!("a palette of {colors} colours")));
            }
        };
        let table = bytes.get(at..).unwrap_or_default();
        let entries = table.chunks_exact(entry).take(colors.min(256));
        self.palette = entries.map(|bgr| [bgr[2], bgr[1], bgr[0]]).collect();
        Ok(at + entry * colors)
    }

    fn look_up(&self, indices: &[u8]) -> Vec<u8> {
        let color = |index: &u8| {
            let entry = self.palette.get(usize::from(*index));
            entry.copied().unwrap_or_default()
        };
        indices.iter().flat_map(color).collect()
    }

    fn unpack(&self, data: &[u8]) -> Result<Samples, Fault> {
        let row = self.width * usize::from(self.bits);
        let stride = row.div_ceil(32) * 4;
        // The padding of the last row may be missing.
        let needed = stride * (self.height - 1) + row.div_ceil(8);
        if data.len() < needed {
            return Err(Fault::truncated(format_args!(
                "{} of {needed} bytes of pixel data",
                data.len()
            )));
        }
        let mut rows: Vec<&[u8]> = data
            .chunks(stride)
            .take(self.height)
            .map(|row_and_padding| &row_and_padding[..row.div_ceil(8)])
            .collect();
        if !self.top_down {
            rows.reverse();
        }
        let rows = rows.into_iter();
        Ok(match self.bits {
            24 if self.compression == Compression::None => {
                let pixels = rows.flat_map(|row| row.as_chunks::<3>().0);
                Samples::Rgb(pixels.flat_map(|[b, g, r]| [*r, *g, *b]).collect())
            }
            16 => self.masked(rows.flat_map(|row| row.as_chunks::<2>().0).map(|pixel| {
                let [low, high] = *pixel;
                u32::from_le_bytes([low, high, 0, 0])
            })),
            24 => self.masked(rows.flat_map(|row| row.as_chunks::<3>().0).map(|pixel| {
                let [first, second, third] = *pixel;
                u32::from_le_bytes([first, second, third, 0])
            })),
            32 => self.masked(
                rows.flat_map(|row| row.as_chunks::<4>().0)
                    .map(|pixel| u32::from_le_bytes(*pixel)),
            ),
            bits => {
                let indices: Vec<u8> = rows
                    .flat_map(|row| unpack_bits(row, self.width, row.len(), bits as u8))
                    .collect();
                Samples::Rgb(self.look_up(&indices))
            }
        })
    }

    fn masked(&self, pixels: impl Iterator<Item = u32>) -> Samples {
        let [r, g, b, a] = self.masks.map(Channel::new);
        if self.masks[3] == 0 {
            Samples::Rgb(
                pixels
                    .flat_map(|pixel| [r.of(pixel), g.of(pixel), b.of(pixel)])
                    .collect(),
            )
        } else {
            Samples::Rgba(
                pixels
                    .flat_map(|pixel| [r.of(pixel), g.of(pixel), b.of(pixel), a.of(pixel)])
                    .collect(),
            )
        }
    }
}

/// The bits of one channel in a pixel.
#[derive(Debug, Clone, Copy)]
struct Channel {
    mask: u32,
    shift: u32,
    largest: u64,
}

impl Channel {
    fn new(mask: u32) -> Self {
        let shift = if mask == 0 { 0 } else { mask.trailing_zeros() };
        Self {
            mask,
            shift,
            largest: u64::from(mask >> shift).max(1),
        }
    }

    /// The channel's value scaled to 8 bits, like Pillow's `ImagingUnpackBGR15` and `BGR16`:
    /// `value * 255 / largest`, rounded down.
    fn of(self, pixel: u32) -> u8 {
        let value = u64::from((pixel & self.mask) >> self.shift);
        (value * 255 / self.largest) as u8
    }
}

fn flipped(indices: &[u8], width: usize) -> Vec<u8> {
    indices.rchunks_exact(width).flatten().copied().collect()
}

fn short(bytes: &[u8], at: usize) -> Result<u16, Fault> {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk::<2>);
    found
        .map(|pair| u16::from_le_bytes(*pair))
        .ok_or_else(|| Fault::truncated("the header is incomplete"))
}

fn long(bytes: &[u8], at: usize) -> Result<u32, Fault> {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>);
    found
        .map(|four| u32::from_le_bytes(*four))
        .ok_or_else(|| Fault::truncated("the header is incomplete"))
}
