//! Windows and OS/2 bitmaps, like Pillow's `BmpImagePlugin`.
//!
//! This module does not use a library: the format is small, and the libraries differ from Pillow in how they
//! scale 16-bit colours and in which alpha channels they accept.

use super::Raster;
use super::bmp_rle;
use super::samples::{Samples, unpack_bits};
use crate::error::Fault;
use crate::orientation::Orientation;
use crate::{DecodeOptions, ImageWarning};

/// Size of what precedes the header in a file. A bitmap in the form held by the clipboard (`.dib`) does not
/// have it.
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
    palette: Palette,
    pixels_at: usize,
}

/// Colours by index.
#[derive(Debug, Default)]
struct Palette {
    colors: Vec<[u8; 3]>,
    /// Whether the colours are plain greys, which Pillow recognises: indices beyond the end are then grey as
    /// well.
    beyond: Beyond,
    /// Whether the palette is black and white, or 4-bit greys: Pillow then forgets how many bits an index
    /// has.
    is_misread: bool,
}

/// The colour of an index that has no entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Beyond {
    #[default]
    Black,
    White,
    Gray,
}

impl Palette {
    fn new(colors: Vec<[u8; 3]>, bits: u16) -> Self {
        let ramp = (0..=255_u8).zip(&colors).all(|(gray, color)| *color == [gray; 3]);
        let beyond = match bits {
            1 if ramp && colors.len() == 1 => Beyond::White,
            _ if ramp && colors.len() > 2 => Beyond::Gray,
            _ => Beyond::Black,
        };
        let is_black_and_white = colors == [[0; 3], [255; 3]] || (ramp && colors.len() == 1);
        Self {
            beyond,
            is_misread: (bits > 1 && is_black_and_white) || (bits == 4 && ramp),
            colors,
        }
    }

    fn look_up(&self, indices: &[u8]) -> Vec<u8> {
        let color = |index: &u8| match (self.colors.get(usize::from(*index)), self.beyond) {
            (Some(color), _) => *color,
            (None, Beyond::Black) => [0; 3],
            (None, Beyond::White) => [255; 3],
            (None, Beyond::Gray) => [*index; 3],
        };
        indices.iter().flat_map(color).collect()
    }
}

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Raster, Fault> {
    let header = Header::read(bytes)?;
    // Memory for unpacked indices, RGBA and RGB.
    let _permit = options.admit(header.width as u64, header.height as u64, 8)?;
    let data = bytes.get(header.pixels_at..).unwrap_or_default();
    let starts_odd = header.pixels_at % 2 == 1;
    let samples = match header.compression {
        Compression::Rle8 | Compression::Rle4 => {
            let is_rle4 = header.compression == Compression::Rle4;
            let mut indices = bmp_rle::decode(data, starts_odd, header.width, header.height, is_rle4)?;
            if !header.top_down {
                indices = flipped(&indices, header.width);
            }
            Samples::Rgb(header.palette.look_up(&indices))
        }
        Compression::None | Compression::Bitfields => header.unpack(data)?,
    };
    Ok(Raster {
        width: header.width,
        height: header.height,
        samples,
        orientation: Orientation::Upright,
        warnings: if header.palette.is_misread && header.compression == Compression::None {
            let kind = "bitmaps of 4 or 8 bits with a palette of plain greys";
            vec![ImageWarning::UnlikePillow { kind }]
        } else {
            Vec::new()
        },
    })
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let has_file_header = bytes.starts_with(b"BM");
        let start = if has_file_header { FILE_HEADER } else { 0 };
        let stated = if has_file_header {
            long(bytes, 10)? as usize
        } else {
            0
        };
        let info = bytes.get(start..).unwrap_or_default();
        let size = long(info, 0)? as usize;
        let mut header = match size {
            12 => Self::read_core(info)?,
            40 | 52 | 56 | 64 | 108 | 124 => Self::read_info(info, size)?,
            other => {
                return Err(Fault::unsupported(format_args!("a header of {other} bytes")));
            }
        };
        if !matches!(header.bits, 1 | 4 | 8 | 16 | 24 | 32) {
            return Err(Fault::unsupported(format_args!("{} bits per pixel", header.bits)));
        }
        let mut after = start + size;
        if header.compression == Compression::Bitfields && size == 40 {
            after += 12;
        }
        let palette_at = after;
        if header.bits <= 8 {
            after = header.read_palette(bytes, start, after)?;
        }
        header.pixels_at = match stated {
            0 => after,
            // Some writers ignore the palette in the stated offset, but the palette cannot hold pixels.
            stated if stated == start + size && header.bits <= 8 => stated + (after - palette_at),
            stated => stated,
        };
        Ok(header)
    }

    /// Reads the header of OS/2 1.
    fn read_core(info: &[u8]) -> Result<Self, Fault> {
        let bits = short(info, 10)?;
        Ok(Self {
            width: usize::from(short(info, 4)?),
            height: usize::from(short(info, 6)?),
            top_down: false,
            bits,
            compression: Compression::None,
            masks: default_masks(bits),
            palette: Palette::default(),
            pixels_at: 0,
        })
    }

    fn read_info(info: &[u8], size: usize) -> Result<Self, Fault> {
        let signed_height = long(info, 8)? as i32;
        let bits = short(info, 14)?;
        let compression = match (long(info, 16)?, bits) {
            (0, _) => Compression::None,
            (1, ..=8) => Compression::Rle8,
            (2, ..=8) => Compression::Rle4,
            (3, 16 | 24 | 32) => Compression::Bitfields,
            (4, _) => return Err(Fault::unsupported("an embedded JPEG")),
            (5, _) => return Err(Fault::unsupported("an embedded PNG")),
            (compression, bits) => {
                return Err(Fault::unsupported(format_args!(
                    "compression {compression} with {bits} bits per pixel"
                )));
            }
        };
        let mut masks = default_masks(bits);
        if compression == Compression::Bitfields {
            // A 40-byte header is followed by three masks; longer headers contain them.
            let count = if size >= 56 { 4 } else { 3 };
            for (index, mask) in masks.iter_mut().take(count).enumerate() {
                *mask = long(info, 40 + 4 * index)?;
            }
            if masks == [0; 4] {
                masks = [0xFF_0000, 0xFF00, 0xFF, 0xFF00_0000];
            }
        }
        Ok(Self {
            width: (long(info, 4)? as i32).max(0) as usize,
            height: signed_height.unsigned_abs() as usize,
            top_down: signed_height < 0,
            bits,
            compression,
            masks,
            palette: Palette::default(),
            pixels_at: 0,
        })
    }

    /// Reads the colour table at offset `at` and returns its end. The header is at `start`.
    fn read_palette(&mut self, bytes: &[u8], start: usize, at: usize) -> Result<usize, Fault> {
        let core = long(bytes, start)? == 12;
        let entry = if core { 3 } else { 4 };
        let stated = if core { 0 } else { long(bytes, start + 32)? };
        let colors = match stated as usize {
            0 => 1 << self.bits,
            colors if colors <= 65536 => colors,
            colors => {
                return Err(Fault::malformed(format_args!("a palette of {colors} colours")));
            }
        };
        let table = bytes.get(at..).unwrap_or_default();
        let entries = table.chunks_exact(entry).take(colors.min(256));
        let entries = entries.map(|bgr| [bgr[2], bgr[1], bgr[0]]);
        self.palette = Palette::new(entries.collect(), self.bits);
        Ok(at + entry * colors)
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
                let mut rgb = Vec::with_capacity(self.width * self.height * 3);
                for row in rows {
                    for [b, g, r] in row.as_chunks::<3>().0 {
                        rgb.extend_from_slice(&[*r, *g, *b]);
                    }
                }
                Samples::Rgb(rgb)
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
                Samples::Rgb(self.palette.look_up(&indices))
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

/// The bits of one channel within a pixel.
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

    /// Returns the channel's value scaled to 8 bits, like Pillow's `ImagingUnpackBGR15` and `BGR16`: `value *
    /// 255 / largest`, rounded down.
    fn of(self, pixel: u32) -> u8 {
        let value = u64::from((pixel & self.mask) >> self.shift);
        (value * 255 / self.largest) as u8
    }
}

/// Returns the masks of `[r, g, b, a]` for bitmaps without bit fields.
fn default_masks(bits: u16) -> [u32; 4] {
    match bits {
        16 => [0x7C00, 0x3E0, 0x1F, 0],
        _ => [0xFF_0000, 0xFF00, 0xFF, 0],
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
