//! Palette pictures in TIFF: finding the colour table, and passing the indices off as grey.

use std::io::Cursor;

use tiff::decoder::Decoder;
use tiff::tags::Tag;

const PHOTOMETRIC: u16 = 262;
const PALETTE: u16 = 3;
const BLACK_IS_ZERO: u16 = 1;

/// The colour table of a palette picture.
#[derive(Debug)]
pub(super) struct Palette {
    colors: Vec<[u8; 3]>,
    bits: u16,
    /// Where the photometric interpretation's value stands in the file, two bytes.
    photometric_at: usize,
    little_endian: bool,
}

impl Palette {
    /// The palette of the first page; nothing when it has none or the file is too damaged to tell
    /// (the decoder proper will say so).
    pub(super) fn find(bytes: &[u8]) -> Option<Self> {
        let (photometric_at, little_endian) = photometric_value(bytes)?;
        let mut decoder = Decoder::new(Cursor::new(bytes)).ok()?;
        let table = decoder.get_tag_u16_vec(Tag::ColorMap).ok()?;
        let bits = decoder.get_tag_u16_vec(Tag::BitsPerSample).ok()?;
        let count = table.len() / 3;
        // Reds, greens and blues follow each other, 16 bits each; Pillow keeps the high byte.
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

    /// The file with its photometric interpretation set to grey.
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

    /// RGB of samples that were decoded as grey (and so spread over 0 to 255 when narrow).
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

/// Where the first directory of a palette picture keeps its photometric interpretation.
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
    // Offset of the directory, width of its count, width of an entry, place of the value in it.
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
