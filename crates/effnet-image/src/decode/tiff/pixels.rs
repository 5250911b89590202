//! Converts rows of stored samples to 8 bits per sample, as Pillow does.

use super::layout::{Color, Extra, Layout, SampleType};
use crate::decode::samples::unpack_bits;

/// Converts one row of a strip or tile to one byte per sample. `count` is the number of samples in the row.
/// `clipped` is set if a sample with more than 8 bits exceeds 255.
pub(super) fn to_8_bits(layout: &Layout, row: &[u8], count: usize, clipped: &mut bool) -> Vec<u8> {
    let is_gray = matches!(layout.color, Color::WhiteIsZero | Color::BlackIsZero);
    let mut clip = |value: i64| {
        *clipped |= value > 255;
        value.clamp(0, 255) as u8
    };
    let mut samples: Vec<u8> = match layout.bits {
        bits @ (1 | 2 | 4) => {
            let mut samples = unpack_bits(row, count, row.len(), bits as u8);
            if is_gray {
                let scale = 255 / ((1_u16 << bits) - 1) as u8;
                for sample in &mut samples {
                    *sample *= scale;
                }
            }
            samples
        }
        8 => row[..count].to_vec(),
        12 => twelve(row).take(count).map(|value| clip(value.into())).collect(),
        16 => {
            let words = words(row, layout.little, u16::from_le_bytes, u16::from_be_bytes).take(count);
            match layout.sample_type {
                _ if !is_gray => words.map(|word| (word >> 8) as u8).collect(),
                SampleType::Signed => words.map(|word| clip(i64::from(word as i16))).collect(),
                _ => words.map(|word| clip(word.into())).collect(),
            }
        }
        // Grey with 32 bits. Unsigned values are read as signed, as in Pillow.
        _ => {
            let words = words(row, layout.little, u32::from_le_bytes, u32::from_be_bytes).take(count);
            match layout.sample_type {
                // Pillow truncates. The cast saturates.
                SampleType::Float => words.map(|word| clip(f32::from_bits(word) as i64)).collect(),
                _ => words.map(|word| clip(i64::from(word as i32))).collect(),
            }
        }
    };
    // Pillow inverts only samples of up to 8 bits.
    if layout.color == Color::WhiteIsZero && layout.bits <= 8 {
        for sample in &mut samples {
            *sample = !*sample;
        }
    }
    samples
}

/// Reads samples of `N` bytes.
fn words<const N: usize, T>(
    row: &[u8],
    is_little: bool,
    little: fn([u8; N]) -> T,
    big: fn([u8; N]) -> T,
) -> impl Iterator<Item = T> {
    let of = if is_little { little } else { big };
    row.as_chunks::<N>().0.iter().map(move |bytes| of(*bytes))
}

/// Reads samples of 12 bits, the first of which is in the high bits.
fn twelve(row: &[u8]) -> impl Iterator<Item = u16> {
    row.chunks(3).flat_map(|bytes| {
        let byte = |index: usize| u16::from(bytes.get(index).copied().unwrap_or(0));
        [byte(0) << 4 | byte(1) >> 4, (byte(1) & 15) << 8 | byte(2)]
    })
}

/// Divides premultiplied colours by their alpha, which is the last sample of each pixel, like Pillow's
/// `unpackRGBa`.
pub(super) fn straighten<const N: usize>(samples: &mut [u8], extra: Extra) {
    if extra != Extra::Associated {
        return;
    }
    for pixel in samples.as_chunks_mut::<N>().0 {
        let alpha = u16::from(pixel[N - 1]);
        for value in &mut pixel[..N - 1] {
            *value = match alpha {
                0 => 0,
                alpha => (u16::from(*value) * 255 / alpha).min(255) as u8,
            };
        }
    }
}
