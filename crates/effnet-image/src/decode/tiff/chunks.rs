//! Strips and tiles: finds them in the file and in the image, and converts them to 8-bit samples.

use super::compression::{self, Compression};
use super::directory::{Directory, Values, tag};
use super::jpeg::Output;
use super::layout::{Color, Layout};
use super::old_jpeg::OldJpeg;
use super::ycbcr::{self, Conversion};
use super::{fax, jpeg, pixels, predictor};
use crate::DecodeOptions;
use crate::error::Fault;

/// How much larger than the image a strip or tile may be, for small images in tiles of common sizes.
const SLACK: u64 = 64 << 20;

/// All strips or tiles of an image.
pub(super) struct Chunks<'a> {
    file: &'a [u8],
    layout: &'a Layout,
    compression: Compression,
    offsets: Values<'a>,
    byte_counts: Option<Values<'a>>,
    /// Size of a strip or tile in pixels.
    width: usize,
    height: usize,
    conversion: Option<Conversion>,
    jpeg_tables: &'a [u8],
    old_jpeg: Option<OldJpeg<'a>>,
    fax_options: u16,
    /// The number of compressed bytes that may still be read; see [`Chunks::charge`].
    budget: u64,
    clipped: bool,
    damage: Option<String>,
}

/// The result of [`Chunks::read`].
pub(super) struct Channels {
    /// Interleaved samples, 8 bits each.
    pub(super) samples: Vec<u8>,
    /// Whether grey beyond 255 was clipped.
    pub(super) clipped: bool,
    /// What was repaired.
    pub(super) damage: Option<String>,
}

/// One strip or tile of one plane.
struct Chunk {
    left: usize,
    top: usize,
    plane: usize,
    /// The number of rows inside the image.
    rows: usize,
}

impl<'a> Chunks<'a> {
    pub(super) fn new(
        file: &'a [u8],
        directory: &Directory<'a>,
        layout: &'a Layout,
        options: &DecodeOptions,
    ) -> Result<Self, Fault> {
        let compression = Compression::of(layout.compression)?;
        let side = |tag| {
            let value = directory.value(tag).unwrap_or(u64::MAX);
            usize::try_from(value).unwrap_or(usize::MAX)
        };
        // Old writers list tiles under the tag for strips.
        let strips = directory.values(tag::STRIP_OFFSETS);
        let tiles = directory.values(tag::TILE_OFFSETS);
        let (offsets, counts, width, height) = if directory.value(tag::TILE_WIDTH).is_some() {
            let (width, height) = (side(tag::TILE_WIDTH), side(tag::TILE_LENGTH));
            (
                tiles.or(strips),
                [tag::TILE_BYTE_COUNTS, tag::STRIP_BYTE_COUNTS],
                width,
                height,
            )
        } else {
            let rows = side(tag::ROWS_PER_STRIP).min(layout.height);
            (strips, [tag::STRIP_BYTE_COUNTS; 2], layout.width, rows)
        };
        let offsets = offsets.ok_or_else(|| Fault::malformed("it has neither strips nor tiles"))?;
        let byte_counts = counts.iter().find_map(|tag| directory.values(*tag));
        if width == 0 || height == 0 {
            return Err(Fault::malformed("strips or tiles of no pixels"));
        }
        let conversion = match (layout.color, compression) {
            (Color::YCbCr, Compression::Jpeg) if !layout.planar => None,
            (Color::YCbCr, Compression::None) if layout.subsampling == (1, 1) => Some(Conversion::pillow()),
            (Color::YCbCr, _) => Some(Conversion::libtiff(directory)?),
            _ => None,
        };
        let decoded = layout.width as u64 * layout.height as u64 * layout.samples as u64;
        let chunks = Self {
            file,
            layout,
            compression,
            offsets,
            byte_counts,
            width,
            height,
            conversion,
            jpeg_tables: directory
                .values(tag::JPEG_TABLES)
                .map(|tables| tables.raw())
                .unwrap_or_default(),
            old_jpeg: match compression {
                Compression::OldJpeg => Some(OldJpeg::read(file, directory)?),
                _ => None,
            },
            fax_options: directory.small(tag::T4_OPTIONS, 0),
            budget: 8 * (file.len() as u64 + decoded),
            clipped: false,
            damage: None,
        };
        chunks.check(options)?;
        Ok(chunks)
    }

    /// Checks the size of a strip or tile before memory is allocated for it.
    fn check(&self, options: &DecodeOptions) -> Result<(), Fault> {
        let layout = self.layout;
        let depth = (layout.interleaved() * layout.bits) as u64;
        let bits = (self.width as u64)
            .saturating_mul(self.height.min(layout.height) as u64)
            .saturating_mul(depth);
        let image = layout.width as u64 * layout.height as u64 * (layout.samples * layout.bits) as u64 / 8;
        let needed = bits / 8;
        if needed > image.saturating_add(SLACK).min(options.max_memory) {
            return Err(Fault::malformed(format_args!(
                "strips or tiles of {} x {} in an image of {} x {}",
                self.width, self.height, layout.width, layout.height
            )));
        }
        Ok(())
    }

    /// Reads the image into `kept` interleaved channels of 8 bits.
    pub(super) fn read(mut self, kept: usize) -> Result<Channels, Fault> {
        let layout = self.layout;
        let (width, height) = (layout.width, layout.height);
        let across = width.div_ceil(self.width);
        let down = height.div_ceil(self.height);
        let planes = if layout.planar { kept } else { 1 };
        let needed = across * down * planes;
        if self.offsets.len() < needed {
            return Err(Fault::truncated(format_args!(
                "{} of {needed} strips or tiles",
                self.offsets.len()
            )));
        }
        let mut image = vec![0; width * height * kept];
        for index in 0..needed {
            let (plane, place) = (index / (across * down), index % (across * down));
            let top = place / across * self.height;
            let chunk = Chunk {
                left: place % across * self.width,
                top,
                plane,
                rows: self.height.min(height - top),
            };
            // If several strips each cover the image, Pillow reads the last one.
            let whole = needed == 1 && self.compression == Compression::None && self.width == width;
            let index = if whole { self.offsets.len() - 1 } else { index };
            self.place(&chunk, index, kept, &mut image)?;
        }
        if layout.planar
            && let Some(conversion) = &self.conversion
        {
            for pixel in image.as_chunks_mut::<3>().0 {
                *pixel = conversion.rgb(*pixel);
            }
        }
        Ok(Channels {
            samples: image,
            clipped: self.clipped,
            damage: self.damage,
        })
    }

    /// Unpacks a strip or tile and copies the part that lies inside the image.
    fn place(&mut self, chunk: &Chunk, index: usize, kept: usize, image: &mut [u8]) -> Result<(), Fault> {
        let layout = self.layout;
        let bytes = self.unpack(chunk, index)?;
        let row_bytes = self.row_bytes();
        let columns = self.width.min(layout.width - chunk.left);
        for y in 0..chunk.rows {
            let start = ((chunk.top + y) * layout.width + chunk.left) * kept;
            let target = &mut image[start..start + columns * kept];
            match &self.conversion {
                Some(conversion) if !layout.planar => {
                    let pixels = ycbcr::expand(&bytes, self.width, y, layout.subsampling);
                    for (target, pixel) in target.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
                        *target = conversion.rgb(pixel);
                    }
                }
                _ => {
                    let row = &bytes[y * row_bytes..][..row_bytes];
                    let samples = if self.is_8_bits() {
                        row.to_vec()
                    } else {
                        pixels::to_8_bits(layout, row, self.width * layout.interleaved(), &mut self.clipped)
                    };
                    copy(&samples, layout.interleaved(), target, kept, chunk.plane);
                }
            }
        }
        Ok(())
    }

    /// Returns whether unpacked samples already have 8 bits, as with JPEG and WebP.
    fn is_8_bits(&self) -> bool {
        self.compression == Compression::Jpeg && self.layout.color != Color::WhiteIsZero
            || self.compression == Compression::WebP
    }

    /// Returns the number of bytes in an unpacked row of a strip or tile.
    fn row_bytes(&self) -> usize {
        (self.width * self.layout.interleaved() * self.layout.bits).div_ceil(8)
    }

    /// Returns the unpacked bytes of a strip or tile.
    fn unpack(&mut self, chunk: &Chunk, index: usize) -> Result<Vec<u8>, Fault> {
        let layout = self.layout;
        let data = self.data(index)?;
        let reversed: Vec<u8>;
        let data = if layout.reversed_bits && self.compression.reverses_bits() {
            reversed = data.iter().map(|byte| byte.reverse_bits()).collect();
            &reversed
        } else {
            data
        };
        let size = (self.width, chunk.rows);
        let samples = layout.interleaved();
        match self.compression {
            Compression::Fax(method) => {
                if layout.bits != 1 || samples != 1 {
                    return Err(Fault::unsupported(
                        "CCITT compression of more than one bit per pixel",
                    ));
                }
                fax::decode(data, method, self.fax_options, size.0, size.1)
            }
            Compression::Jpeg => {
                if layout.bits != 8 {
                    return Err(Fault::unsupported(format_args!(
                        "JPEG compression of {} bits",
                        layout.bits
                    )));
                }
                let output = match layout.color {
                    Color::YCbCr if !layout.planar => Output::Rgb,
                    _ => Output::Stored,
                };
                let tables = self.jpeg_tables;
                Ok(self.mended(jpeg::decode(tables, data, size, samples, output)?))
            }
            Compression::OldJpeg => {
                let tables = self.old_jpeg.as_ref();
                let tables = tables.ok_or_else(|| Fault::malformed("it has no JPEG tables"))?;
                let start = self.offsets.get(0).unwrap_or(0) as usize;
                let end = (self.offsets.len() == 1).then(|| start.saturating_add(data.len()));
                let stream = tables.stream(data, size, end)?;
                Ok(self.mended(jpeg::decode(&[], &stream, size, samples, Output::Repeated)?))
            }
            Compression::WebP => {
                // Lossy WebP stores only whole images, so a last strip may be shorter than the others.
                compression::webp(data, size.0, size.1, samples)
            }
            _ => {
                let blocks = layout.subsampling;
                let (row, length) = if blocks == (1, 1) {
                    (self.row_bytes(), self.row_bytes() * chunk.rows)
                } else {
                    let row = ycbcr::block_row(self.width, blocks);
                    // Differences run along rows of pixels, and each of these is a part of a row of blocks.
                    (row / blocks.1, row * chunk.rows.div_ceil(blocks.1))
                };
                let mut bytes = self.compression.unpack(data, length)?;
                if self.compression.predicts() {
                    predictor::undo(layout, &mut bytes, row)?;
                }
                Ok(bytes)
            }
        }
    }

    /// Returns the samples, and keeps the first warning about damaged data.
    fn mended(&mut self, (samples, warning): (Vec<u8>, Option<String>)) -> Vec<u8> {
        self.damage = self.damage.take().or(warning);
        samples
    }

    /// Returns the compressed bytes of a strip or tile.
    fn data(&mut self, index: usize) -> Result<&'a [u8], Fault> {
        let outside = || Fault::truncated(format_args!("strip or tile {index} is not in the file"));
        let offset = self
            .offsets
            .get(index)
            .and_then(|offset| usize::try_from(offset).ok());
        let rest = self.file.get(offset.ok_or_else(outside)?..).ok_or_else(outside)?;
        let stated = self.byte_counts.and_then(|counts| counts.get(index));
        let length = match (self.compression, stated) {
            // Pillow ignores the sizes of uncompressed strips and tiles.
            (Compression::None, _) => None,
            // If there are no sizes, strips end where the next strip starts.
            (_, None | Some(0)) => self
                .offsets
                .get(index + 1)
                .zip(self.offsets.get(index))
                .and_then(|(end, start)| end.checked_sub(start)),
            (_, Some(count)) => Some(count),
        };
        let length = length
            .and_then(|length| usize::try_from(length).ok())
            .unwrap_or(usize::MAX);
        let data = &rest[..rest.len().min(length)];
        if self.compression != Compression::None {
            self.charge(data.len() + self.jpeg_tables.len())?;
        }
        Ok(data)
    }

    /// Charges for compressed bytes. Many strips may point to the same data, so this limits the total, and
    /// the time is linear in the sizes of the file and the image.
    fn charge(&mut self, bytes: usize) -> Result<(), Fault> {
        self.budget = self.budget.checked_sub(bytes as u64).ok_or_else(|| {
            Fault::malformed("its strips or tiles overlap: together they are many times larger than the file")
        })?;
        Ok(())
    }
}

/// Copies the samples of pixels to `kept` interleaved channels, starting at `plane`.
fn copy(samples: &[u8], stored: usize, target: &mut [u8], kept: usize, plane: usize) {
    if stored == kept {
        target.copy_from_slice(&samples[..target.len()]);
        return;
    }
    let channels = stored.min(kept);
    for (target, pixel) in target.chunks_exact_mut(kept).zip(samples.chunks_exact(stored)) {
        target[plane..plane + channels].copy_from_slice(&pixel[..channels]);
    }
}
