//! Dot products of rows and queries, with the vector units of the processor.
//!
//! Rows come from memory and are read once, so several rows and queries are multiplied together. Every pair has a sum
//! of its own, in the same order whatever the shape of the tile: the result for a pair does not depend on what it is
//! computed with.

// Functions that are not inlined into a dispatched call are not compiled for its instructions.
#![allow(clippy::inline_always)]

use pulp::{Arch, Simd, WithSimd};

/// Computes the dot product of each row and each query: `results[row * queries + query]`.
pub(crate) struct Products<'a> {
    pub(crate) rows: &'a [f32],
    pub(crate) queries: &'a [f32],
    /// The number of features of a row and of a query.
    pub(crate) width: usize,
    pub(crate) results: &'a mut [f32],
}

impl Products<'_> {
    /// Computes the products on this processor.
    pub(crate) fn compute(self, arch: Arch) {
        arch.dispatch(self);
    }
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            rows,
            queries,
            width,
            results,
        } = self;
        let (row_count, query_count) = (rows.len() / width, queries.len() / width);
        let row = |index: usize| &rows[index * width..][..width];
        let query = |index: usize| &queries[index * width..][..width];
        let mut q = 0;
        while q + 4 <= query_count {
            let four: [&[f32]; 4] = std::array::from_fn(|index| query(q + index));
            let mut r = 0;
            // Eight sums: as many as a processor with two units and a latency of four cycles can work on.
            while r + 2 <= row_count {
                let found = tile(simd, [row(r), row(r + 1)], four);
                for (index, found) in found.iter().enumerate() {
                    results[(r + index) * query_count + q..][..4].copy_from_slice(found);
                }
                r += 2;
            }
            for r in r..row_count {
                let [found] = tile(simd, [row(r)], four);
                results[r * query_count + q..][..4].copy_from_slice(&found);
            }
            q += 4;
        }
        for q in q..query_count {
            let mut r = 0;
            while r + 4 <= row_count {
                let four: [&[f32]; 4] = std::array::from_fn(|index| row(r + index));
                for (index, [found]) in tile(simd, four, [query(q)]).into_iter().enumerate() {
                    results[(r + index) * query_count + q] = found;
                }
                r += 4;
            }
            for r in r..row_count {
                let [[found]] = tile(simd, [row(r)], [query(q)]);
                results[r * query_count + q] = found;
            }
        }
    }
}

/// Returns the dot products of a few rows and queries of the same length.
#[inline(always)]
fn tile<S: Simd, const R: usize, const Q: usize>(
    simd: S,
    rows: [&[f32]; R],
    queries: [&[f32]; Q],
) -> [[f32; Q]; R] {
    let rows = rows.map(S::as_simd_f32s);
    let queries = queries.map(S::as_simd_f32s);
    let mut sums = [[simd.splat_f32s(0.0); Q]; R];
    let vectors = rows
        .iter()
        .map(|row| row.0.len())
        .chain(queries.iter().map(|query| query.0.len()));
    for index in 0..vectors.min().unwrap_or(0) {
        for (row, sums) in rows.iter().zip(&mut sums) {
            for (query, sum) in queries.iter().zip(sums) {
                *sum = simd.mul_add_e_f32s(row.0[index], query.0[index], *sum);
            }
        }
    }
    let mut found = [[0.0; Q]; R];
    for ((row, sums), found) in rows.iter().zip(sums).zip(&mut found) {
        for ((query, sum), found) in queries.iter().zip(sums).zip(found) {
            let rest = row.1.iter().zip(query.1).map(|(a, b)| a * b).sum::<f32>();
            *found = simd.reduce_sum_f32s(sum) + rest;
        }
    }
    found
}

/// Returns the Euclidean length of a vector, computed in 64 bits.
pub(crate) fn length(vector: &[f32]) -> f64 {
    let squares = vector.iter().map(|&value| f64::from(value) * f64::from(value));
    squares.sum::<f64>().sqrt()
}

/// Scales a vector to length 1. A vector of zeros, which has no direction, stays as it is.
pub fn normalize(vector: &mut [f32]) {
    let length = length(vector);
    if length > 0.0 {
        for value in vector {
            *value = (f64::from(*value) / length) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_exact_for_every_shape() {
        let mut random = fastrand::Rng::with_seed(1);
        for width in [1, 3, 8, 16, 31, 64, 129, 1280] {
            for (row_count, query_count) in [(1, 1), (4, 1), (7, 3), (5, 4), (9, 11)] {
                // Small whole numbers: every sum is exact in any order.
                let mut numbers =
                    |count: usize| -> Vec<f32> { (0..count).map(|_| f32::from(random.i8(-8..8))).collect() };
                let (rows, queries) = (numbers(row_count * width), numbers(query_count * width));
                let mut products = vec![f32::NAN; row_count * query_count];
                Products {
                    rows: &rows,
                    queries: &queries,
                    width,
                    results: &mut products,
                }
                .compute(Arch::new());
                for (index, product) in products.iter().enumerate() {
                    let (row, query) = (index / query_count, index % query_count);
                    let pairs = rows[row * width..].iter().zip(&queries[query * width..][..width]);
                    assert_eq!(*product, pairs.map(|(a, b)| a * b).sum::<f32>());
                }
            }
        }
    }

    #[test]
    fn a_vector_has_length_1_unless_it_is_zero() {
        let mut vector = vec![3.0, -4.0];
        normalize(&mut vector);
        assert_eq!(vector, [0.6, -0.8]);
        let mut zero = vec![0.0; 3];
        normalize(&mut zero);
        assert_eq!(zero, [0.0; 3]);
        let mut small = vec![1e-30, 0.0];
        normalize(&mut small);
        assert_eq!(small, [1.0, 0.0]);
    }
}
