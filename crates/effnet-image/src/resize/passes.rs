//! The two convolution passes (`ImagingResampleHorizontal_8bpc` and `ImagingResampleVertical_8bpc`
//! in Pillow's `Resample.c`).
//!
//! Plain loops over arrays. `pulp` compiles them a second time for AVX2 and picks at run time;
//! integer arithmetic gives the same bits either way.

// What is not inlined into the dispatched closure is not compiled for AVX2.
#![allow(clippy::inline_always)]

use pulp::Arch;

use super::View;
use super::taps::{PRECISION, Taps};

/// One half, so that the final shift rounds to nearest.
const HALF: i32 = 1 << (PRECISION - 1);

/// Samples of a row that the vertical pass accumulates together: enough for the vector units, few
/// enough for their registers.
const LANES: usize = 64;

#[inline(always)]
fn to_sample(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// Convolves every row: `[rows, taps, 3]`.
pub(super) fn horizontal(source: View<'_>, taps: &Taps) -> Vec<u8> {
    let height = source.height();
    let row = taps.len() * 3;
    let mut out = vec![0; height * row];
    Arch::new().dispatch(|| {
        for (y, out) in out.chunks_exact_mut(row).enumerate() {
            horizontal_row(source.starting_at(y), taps, out);
        }
    });
    out
}

#[inline(always)]
fn horizontal_row(source: &[u8], taps: &Taps, out: &mut [u8]) {
    for (out, (first, weights)) in out.as_chunks_mut::<3>().0.iter_mut().zip(taps.iter()) {
        let start = first * 3;
        let mut sum = [HALF; 4];
        // Four bytes a pixel suit the vector units; the fourth is the next pixel's, and ignored.
        // Only the last pixel of the buffer has none behind it.
        if let Some(pixels) = source.get(start..=start + weights.len() * 3) {
            for (index, weight) in weights.iter().enumerate() {
                let pixel = &pixels[index * 3..index * 3 + 4];
                for (sum, sample) in sum.iter_mut().zip(pixel) {
                    *sum += i32::from(*sample) * weight;
                }
            }
        } else {
            for (pixel, weight) in source[start..].as_chunks::<3>().0.iter().zip(weights) {
                for (sum, sample) in sum.iter_mut().zip(pixel) {
                    *sum += i32::from(*sample) * weight;
                }
            }
        }
        let [r, g, b, _] = sum.map(to_sample);
        *out = [r, g, b];
    }
}

/// Convolves every column: `[taps, columns, 3]`.
pub(super) fn vertical(source: View<'_>, taps: &Taps) -> Vec<u8> {
    let row = source.row;
    let mut out = vec![0; taps.len() * row];
    Arch::new().dispatch(|| {
        for (out, (first, weights)) in out.chunks_exact_mut(row).zip(taps.iter()) {
            vertical_row(source, first, weights, out);
        }
    });
    out
}

#[inline(always)]
fn vertical_row(source: View<'_>, first: usize, weights: &[i32], out: &mut [u8]) {
    let (blocks, rest) = out.as_chunks_mut::<LANES>();
    let rest_at = blocks.len() * LANES;
    for (index, block) in blocks.iter_mut().enumerate() {
        let mut sums = [HALF; LANES];
        for (line, weight) in weights.iter().enumerate() {
            let line = &source.starting_at(first + line)[index * LANES..(index + 1) * LANES];
            for (sum, sample) in sums.iter_mut().zip(line) {
                *sum += i32::from(*sample) * weight;
            }
        }
        for (out, sum) in block.iter_mut().zip(sums) {
            *out = to_sample(sum);
        }
    }
    let mut sums = [HALF; LANES];
    let sums = &mut sums[..rest.len()];
    for (line, weight) in weights.iter().enumerate() {
        let line = &source.starting_at(first + line)[rest_at..];
        for (sum, sample) in sums.iter_mut().zip(line) {
            *sum += i32::from(*sample) * weight;
        }
    }
    for (out, sum) in rest.iter_mut().zip(sums) {
        *out = to_sample(*sum);
    }
}
