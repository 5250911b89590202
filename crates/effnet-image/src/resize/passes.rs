//! The two convolution passes (`ImagingResampleHorizontal_8bpc` and `ImagingResampleVertical_8bpc`
//! in Pillow's `Resample.c`).
//!
//! Both are plain loops over arrays. `pulp` compiles them a second time for AVX2 and selects a version at run
//! time; integer arithmetic gives the same bits either way.

// Functions that are not inlined into a dispatched `call` are not compiled for AVX2.
#![allow(clippy::inline_always)]

use pulp::{Arch, NullaryFnOnce};

use super::View;
use super::taps::{PRECISION, Taps};

/// One half, so that the final shift rounds to nearest.
const HALF: i32 = 1 << (PRECISION - 1);

/// The number of rows that the horizontal pass processes together.
const BAND: usize = 8;

/// The number of samples in a row that the vertical pass accumulates together: enough to fill the vector units,
/// but few enough to stay in registers.
const LANES: usize = 32;

/// One pixel of each row of a band, which the horizontal pass treats as one vector.
type Column = [[u8; 3]; BAND];

#[inline(always)]
fn accumulate<const N: usize>(sums: &mut [i32; N], samples: &[u8; N], weight: i32) {
    for (sum, sample) in sums.iter_mut().zip(samples) {
        *sum += i32::from(*sample) * weight;
    }
}

#[inline(always)]
fn to_sample(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// Convolves every row, and returns `[rows, taps, 3]`.
///
/// Three channels do not fill a vector register, and neighbouring outputs have different weights. So the rows of a
/// band are first interleaved, and one weight then applies to `3 * BAND` contiguous samples.
pub(super) fn horizontal(source: View<'_>, taps: &Taps) -> Vec<u8> {
    let height = source.height();
    let row = taps.len() * 3;
    let mut out = vec![0; height * row];
    let (first, last) = taps.source_range();
    let columns = vec![[[0; 3]; BAND]; last - first];
    Arch::new().dispatch(Horizontal {
        source,
        taps,
        first,
        columns,
        out: &mut out,
    });
    out
}

struct Horizontal<'a> {
    source: View<'a>,
    taps: &'a Taps,
    /// The source column of `columns[0]`.
    first: usize,
    columns: Vec<Column>,
    out: &'a mut [u8],
}

impl NullaryFnOnce for Horizontal<'_> {
    type Output = ();

    #[inline(always)]
    fn call(mut self) {
        let row = self.taps.len() * 3;
        let used = self.first * 3..(self.first + self.columns.len()) * 3;
        for (index, band) in self.out.chunks_mut(row * BAND).enumerate() {
            for line in 0..band.len() / row {
                let pixels = &self.source.starting_at(index * BAND + line)[used.clone()];
                for (column, pixel) in self.columns.iter_mut().zip(pixels.as_chunks::<3>().0) {
                    column[line] = *pixel;
                }
            }
            horizontal_band(&self.columns, self.first, self.taps, band);
        }
    }
}

#[inline(always)]
fn horizontal_band(columns: &[Column], origin: usize, taps: &Taps, band: &mut [u8]) {
    let width = taps.len();
    let band = band.as_chunks_mut::<3>().0;
    for (x, (first, weights)) in taps.iter().enumerate() {
        let mut sums = [HALF; 3 * BAND];
        let columns = &columns[first - origin..][..weights.len()];
        for (column, weight) in columns.iter().zip(weights) {
            if let Some(samples) = column.as_flattened().first_chunk() {
                accumulate(&mut sums, samples, *weight);
            }
        }
        let samples = sums.map(to_sample);
        let pixels = samples.as_chunks::<3>().0;
        for (target, pixel) in band[x..].iter_mut().step_by(width).zip(pixels) {
            *target = *pixel;
        }
    }
}

/// Convolves every column, and returns `[taps, columns, 3]`.
pub(super) fn vertical(source: View<'_>, taps: &Taps) -> Vec<u8> {
    let mut out = vec![0; taps.len() * source.row];
    Arch::new().dispatch(Vertical {
        source,
        taps,
        out: &mut out,
    });
    out
}

struct Vertical<'a> {
    source: View<'a>,
    taps: &'a Taps,
    out: &'a mut [u8],
}

impl NullaryFnOnce for Vertical<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let rows = self.out.chunks_exact_mut(self.source.row);
        for (out, (first, weights)) in rows.zip(self.taps.iter()) {
            vertical_row(self.source, first, weights, out);
        }
    }
}

#[inline(always)]
fn vertical_row(source: View<'_>, first: usize, weights: &[i32], out: &mut [u8]) {
    let (blocks, rest) = out.as_chunks_mut::<LANES>();
    let rest_at = blocks.len() * LANES;
    for (index, block) in blocks.iter_mut().enumerate() {
        let mut sums = [HALF; LANES];
        for (line, weight) in weights.iter().enumerate() {
            let samples = &source.starting_at(first + line)[index * LANES..];
            if let Some(samples) = samples.first_chunk() {
                accumulate(&mut sums, samples, *weight);
            }
        }
        *block = sums.map(to_sample);
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
