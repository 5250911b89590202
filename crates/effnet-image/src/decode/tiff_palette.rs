//! Palette images in TIFF, which the `tiff` crate refuses.
//!
//! Their indices are encoded exactly like grey samples. So we read the colour table, patch the photometric
//! interpretation to grey, let `tiff` decode the indices and look up the colours afterwards.

use std::io::Cursor;

use tiff::decoder::Decoder;
use tiff::tags::Tag;

const PHOTOMETRIC: u16 = 262;
const PALETTE: u16 = 3;
const BLACK_IS_ZERO: u16 = 1;

/// The colour table of a palette image.
#[derive(Debug)]
pub(super) struct Palette {
    colors: Vec<[u8; 3]>,
    bits: u16,
    /// Offset of the two-byte photometric interpretation in the file.
    photometric_at: usize,
    little_endian: bool,
}

impl Palette {
    /// The palette of the first page. `None` if it has none, or if the file is too damaged to tell, which the
    /// decoder then reports.
    pub(super) fn find(bytes: &[u8]) -> Option<Self> {
        let (photometric_at, little_endian) = photometric_value(bytes)?;
        let mut decoder = Decoder::new(Cursor::new(bytes)).ok()?;
        let table = decoder.get_tag_u16_vec(Tag::ColorMap).ok()?;
        let bits = decoder.get_tag_u16_vec(Tag::BitsPerSample).ok()?;
        let count = table.len() / 3;
        // All reds, then all greens, then all blues, 16 bits each; Pillow keeps the high byte.
        let channel = |channel: usize, index: usize| (table[channel * count + index] >> 8) as u8;
        Some(Self {
            colors: (0..count)
                .map(|index| [0, 1, 2].map(|c| channel(c, index)))
                .collect(),
            bits: bits.first().copied().unwrap_or(1),
            photometric_at,
            little_endian,
        })
    }

    /// A copy of the file with the photometric interpretation set to grey.
    pub(super) fn as_gray(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        let value = if self.little_endian {
            BLACK_IS_ZERO.to_le_bytes()
        } else {
            BLACK_IS_ZERO.to_be_bytes()
        };
        if let Some(place) = bytes.get_mut(self.photometric_at..self.photometric_at + 2) {
            place.copy_from_slice(&value);
        }
        bytes
    }

    /// The colours of indices decoded as grey, which scales samples below 8 bits to 0 to 255.
    pub(super) fn look_up(&self, gray: &[u8]) -> Vec<u8> {
        let scale = match self.bits {
            1 => 255,
            2 => 85,
            4 => 17,
            _ => 1,
        };
        let color = |sample: &u8| {
            let entry = self.colors.get(usize::from(sample / scale));
            entry.copied().unwrap_or_default()
        };
        gray.iter().flat_map(color).collect()
    }
}

/// The offset of the photometric interpretation in the first directory, and whether the file is little-endian.
/// `None` unless it is a palette image.
fn photometric_value(bytes: &[u8]) -> Option<(usize, bool)> {
    let little = bytes.starts_with(b"II");
    let number = |at: usize, length: usize| {
        let field = bytes.get(at..at.checked_add(length)?)?;
        let fold = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(if little {
            field.iter().rev().fold(0, fold)
        } else {
            field.iter().fold(0, fold)
        })
    };
    let big = number(2, 2)? == 43;
    // Offset of the directory, size of its count, size of an entry, offset of the value in an entry.
    let (directory, count_bytes, entry_bytes, value) = if big {
        (number(8, 8)?, 8, 20, 12)
    } else {
        (number(4, 4)?, 2, 12, 8)
    };
    let directory = usize::try_from(directory).ok()?;
    let entries = number(directory, count_bytes)?.min(4096) as usize;
    for index in 0..entries {
        let entry = directory.checked_add(count_bytes + entry_bytes * index)?;
        if number(entry, 2)? == u64::from(PHOTOMETRIC) {
            let palette = number(entry + value, 2)? == u64::from(PALETTE);
            return palette.then_some((entry + value, little));
        }
    }
    None
}
