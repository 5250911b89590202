//! Operations that apply a lookup table to each channel (Pillow's `ImageOps.py`, and those in `ImageEnhance.py`
//! that blend with a constant).

use super::color::{blend, luma};
use crate::Image;

type Table = [u8; 256];

/// Applies the same table to all channels.
fn look_up(image: &mut Image, level: impl Fn(u8) -> u8) {
    let table: Table = std::array::from_fn(|value| level(value as u8));
    for sample in image.pixels_mut() {
        *sample = table[usize::from(*sample)];
    }
}

/// Applies a separate table to each channel, computed from the channel's histogram.
fn look_up_channels(image: &mut Image, table: impl Fn(&[usize; 256]) -> Table) {
    let mut histograms = [[0; 256]; 3];
    for pixel in image.pixels().as_chunks::<3>().0 {
        for (histogram, sample) in histograms.iter_mut().zip(pixel) {
            histogram[usize::from(*sample)] += 1;
        }
    }
    let tables = histograms.each_ref().map(table);
    for pixel in image.pixels_mut().as_chunks_mut::<3>().0 {
        for (sample, table) in pixel.iter_mut().zip(&tables) {
            *sample = table[usize::from(*sample)];
        }
    }
}

fn identity() -> Table {
    std::array::from_fn(|value| value as u8)
}

pub(super) fn brightness(image: &mut Image, factor: f64) {
    look_up(image, |value| blend(0, value, factor as f32));
}

pub(super) fn contrast(image: &mut Image, factor: f64) {
    let pixels = image.pixels().as_chunks::<3>().0;
    let sum: u64 = pixels.iter().map(|pixel| u64::from(luma(*pixel))).sum();
    let mean = (sum as f64 / pixels.len() as f64 + 0.5) as u8;
    look_up(image, |value| blend(mean, value, factor as f32));
}

pub(super) fn posterize(image: &mut Image, bits: u8) {
    let dropped = 8_u32.saturating_sub(u32::from(bits));
    let mask = u8::MAX.checked_shl(dropped).unwrap_or(0);
    look_up(image, |value| value & mask);
}

pub(super) fn solarize(image: &mut Image, threshold: f64) {
    look_up(image, |value| {
        if f64::from(value) < threshold {
            value
        } else {
            255 - value
        }
    });
}

pub(super) fn solarize_add(image: &mut Image, addend: u8) {
    look_up(image, |value| {
        if value < 128 {
            value.saturating_add(addend)
        } else {
            value
        }
    });
}

pub(super) fn invert(image: &mut Image) {
    look_up(image, |value| 255 - value);
}

pub(super) fn auto_contrast(image: &mut Image) {
    look_up_channels(image, |histogram| {
        let lowest = histogram.iter().position(|count| *count > 0).unwrap_or(0);
        let highest = histogram.iter().rposition(|count| *count > 0).unwrap_or(0);
        if highest <= lowest {
            return identity();
        }
        let scale = 255.0 / (highest - lowest) as f64;
        let offset = -(lowest as f64) * scale;
        std::array::from_fn(|value| (value as f64 * scale + offset) as u8)
    });
}

pub(super) fn equalize(image: &mut Image) {
    look_up_channels(image, |histogram| {
        let last = histogram.iter().rfind(|count| **count > 0);
        let total: usize = histogram.iter().sum();
        // This is 0 if there is only one level, or if there are too few pixels.
        let step = (total - last.copied().unwrap_or(0)) / 255;
        if step == 0 {
            return identity();
        }
        let mut below = step / 2;
        histogram.map(|count| {
            let level = (below / step).min(255) as u8;
            below += count;
            level
        })
    });
}
