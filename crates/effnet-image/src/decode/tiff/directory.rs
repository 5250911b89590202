//! The first directory of a TIFF or BigTIFF file: tags and their values.
//!
//! Values stay in the file and are read one at a time, so that a directory that declares millions of them
//! costs nothing.

use crate::error::Fault;

/// The maximum number of entries; writers produce fewer.
const MAX_ENTRIES: u64 = 65_536;

const BYTE: u16 = 1;
const SHORT: u16 = 3;
const LONG: u16 = 4;
const RATIONAL: u16 = 5;
const UNDEFINED: u16 = 7;
const FLOAT: u16 = 11;
const DOUBLE: u16 = 12;
const IFD: u16 = 13;
const LONG8: u16 = 16;
const IFD8: u16 = 18;

/// Names of the tags that decoding reads.
pub(super) mod tag {
    pub(in crate::decode) const NEW_SUBFILE_TYPE: u16 = 254;
    pub(in crate::decode) const IMAGE_WIDTH: u16 = 256;
    pub(in crate::decode) const IMAGE_LENGTH: u16 = 257;
    pub(in crate::decode) const BITS_PER_SAMPLE: u16 = 258;
    pub(in crate::decode) const COMPRESSION: u16 = 259;
    pub(in crate::decode) const PHOTOMETRIC: u16 = 262;
    pub(in crate::decode) const FILL_ORDER: u16 = 266;
    pub(in crate::decode) const STRIP_OFFSETS: u16 = 273;
    pub(in crate::decode) const ORIENTATION: u16 = 274;
    pub(in crate::decode) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(in crate::decode) const ROWS_PER_STRIP: u16 = 278;
    pub(in crate::decode) const STRIP_BYTE_COUNTS: u16 = 279;
    pub(in crate::decode) const PLANAR_CONFIGURATION: u16 = 284;
    pub(in crate::decode) const T4_OPTIONS: u16 = 292;
    pub(in crate::decode) const PREDICTOR: u16 = 317;
    pub(in crate::decode) const COLOR_MAP: u16 = 320;
    pub(in crate::decode) const TILE_WIDTH: u16 = 322;
    pub(in crate::decode) const TILE_LENGTH: u16 = 323;
    pub(in crate::decode) const TILE_OFFSETS: u16 = 324;
    pub(in crate::decode) const TILE_BYTE_COUNTS: u16 = 325;
    pub(in crate::decode) const SUB_DIRECTORIES: u16 = 330;
    pub(in crate::decode) const EXTRA_SAMPLES: u16 = 338;
    pub(in crate::decode) const SAMPLE_FORMAT: u16 = 339;
    pub(in crate::decode) const JPEG_TABLES: u16 = 347;
    pub(in crate::decode) const JPEG_INTERCHANGE_FORMAT: u16 = 513;
    pub(in crate::decode) const JPEG_INTERCHANGE_LENGTH: u16 = 514;
    pub(in crate::decode) const JPEG_Q_TABLES: u16 = 519;
    pub(in crate::decode) const JPEG_DC_TABLES: u16 = 520;
    pub(in crate::decode) const JPEG_AC_TABLES: u16 = 521;
    pub(in crate::decode) const YCBCR_COEFFICIENTS: u16 = 529;
    pub(in crate::decode) const YCBCR_SUBSAMPLING: u16 = 530;
    pub(in crate::decode) const REFERENCE_BLACK_WHITE: u16 = 532;
    pub(in crate::decode) const XMP: u16 = 700;
    pub(in crate::decode) const DNG_VERSION: u16 = 50706;
}

/// The values of one tag.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values<'a> {
    bytes: &'a [u8],
    little: bool,
    kind: u16,
    count: usize,
}

impl<'a> Values<'a> {
    /// Returns how many of the values that the directory declares are in the file.
    pub(super) fn len(&self) -> usize {
        self.count.min(self.bytes.len() / size_of(self.kind))
    }

    /// Returns an unsigned integer; `None` beyond the end, or if the values have a different type.
    pub(super) fn get(&self, index: usize) -> Option<u64> {
        let size = size_of(self.kind);
        if index >= self.count || !matches!(self.kind, BYTE | UNDEFINED | SHORT | LONG | IFD | LONG8 | IFD8) {
            return None;
        }
        let at = index.checked_mul(size)?;
        self.bytes
            .get(at..at.checked_add(size)?)
            .map(|field| number(field, self.little))
    }

    /// Returns a real number of any numeric type.
    pub(super) fn real(&self, index: usize) -> Option<f32> {
        let size = size_of(self.kind);
        let at = index.checked_mul(size).filter(|_| index < self.count)?;
        let field = self.bytes.get(at..at.checked_add(size)?)?;
        match self.kind {
            RATIONAL => {
                let (above, below) = field.split_at(4);
                let below = number(below, self.little);
                Some(match below {
                    0 => 0.0,
                    below => (number(above, self.little) as f64 / below as f64) as f32,
                })
            }
            FLOAT => Some(f32::from_bits(number(field, self.little) as u32)),
            DOUBLE => Some(f64::from_bits(number(field, self.little)) as f32),
            _ => self.get(index).map(|value| value as f32),
        }
    }

    /// Returns the bytes of the values, as they are in the file.
    pub(super) fn raw(&self) -> &'a [u8] {
        &self.bytes[..self.len() * size_of(self.kind)]
    }
}

/// The first directory of a file.
#[derive(Debug)]
pub(super) struct Directory<'a> {
    pub(super) little: bool,
    entries: Vec<(u16, Values<'a>)>,
}

impl<'a> Directory<'a> {
    pub(super) fn read(file: &'a [u8]) -> Result<Self, Fault> {
        let little = file.starts_with(b"II");
        let at = |at: u64, length: usize| {
            let start = usize::try_from(at).ok()?;
            file.get(start..start.checked_add(length)?)
        };
        let read = |place: u64, length: usize| {
            at(place, length)
                .map(|field| number(field, little))
                .ok_or_else(|| Fault::truncated("its directory is not in the file"))
        };
        let big = file.get(2..4).is_some_and(|version| version.contains(&43));
        // Offset of the directory, size of its count, size of an entry, and size of the values that fit in an
        // entry.
        let (start, count_size, entry_size, inline) = if big {
            (read(8, 8)?, 8, 20, 8)
        } else {
            (read(4, 4)?, 2, 12, 4)
        };
        let count = read(start, count_size)?;
        if count > MAX_ENTRIES {
            return Err(Fault::malformed(format_args!("a directory of {count} entries")));
        }
        let mut entries = Vec::new();
        for index in 0..count {
            let entry = start + count_size as u64 + index * entry_size;
            // A truncated directory still describes an image with its first entries.
            let (Ok(tag), Ok(kind), Ok(values)) =
                (read(entry, 2), read(entry + 2, 2), read(entry + 4, inline))
            else {
                break;
            };
            let kind = kind as u16;
            let place = entry + 4 + inline as u64;
            let length = values.saturating_mul(size_of(kind) as u64);
            let place = if length <= inline as u64 {
                place
            } else {
                read(place, inline)?
            };
            let place = usize::try_from(place).unwrap_or(usize::MAX);
            let rest = file.get(place..).unwrap_or_default();
            entries.push((
                tag as u16,
                Values {
                    bytes: &rest[..rest.len().min(usize::try_from(length).unwrap_or(usize::MAX))],
                    little,
                    kind,
                    count: usize::try_from(values).unwrap_or(usize::MAX),
                },
            ));
        }
        Ok(Self { little, entries })
    }

    /// Returns the values of a tag. If a tag has several entries, the last one counts, as in Pillow.
    pub(super) fn values(&self, tag: u16) -> Option<Values<'a>> {
        let found = self.entries.iter().rev().find(|entry| entry.0 == tag)?;
        (found.1.count > 0).then_some(found.1)
    }

    /// Returns the first value of a tag.
    pub(super) fn value(&self, tag: u16) -> Option<u64> {
        self.values(tag)?.get(0)
    }

    /// Returns the first value of a tag if it is a small number, and `default` otherwise.
    pub(super) fn small(&self, tag: u16, default: u16) -> u16 {
        match self.value(tag) {
            Some(value) => u16::try_from(value).unwrap_or(u16::MAX),
            None => default,
        }
    }

    /// Returns the first `N` numbers of a tag.
    pub(super) fn reals<const N: usize>(&self, tag: u16) -> Option<[f32; N]> {
        let values = self.values(tag)?;
        let mut reals = [0.0; N];
        for (index, real) in reals.iter_mut().enumerate() {
            *real = values.real(index)?;
        }
        Some(reals)
    }
}

/// Reads an unsigned integer of up to 8 bytes.
fn number(field: &[u8], little: bool) -> u64 {
    let fold = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
    if little {
        field.iter().rev().fold(0, fold)
    } else {
        field.iter().fold(0, fold)
    }
}

/// Returns the number of bytes per value of a type; 1 for unknown types.
fn size_of(kind: u16) -> usize {
    match kind {
        SHORT | 8 => 2,
        LONG | 9 | FLOAT | IFD => 4,
        RATIONAL | 10 | DOUBLE | LONG8 | 17 | IFD8 => 8,
        _ => 1,
    }
}
