//! Solves systems of equations with a symmetric, positive definite matrix.
//!
//! Written here because the crates that do it are larger than all of `check` (nalgebra, faer), need LAPACK
//! (ndarray-linalg) or factor one number at a time (linfa-linalg): the width is 1280 to 2560, a probe is fitted some
//! twenty times, and in blocks nearly all of the work is a product of matrices, for which there are kernels.

use super::product::{View, add_product_f64};

/// Number of columns that are factored at a time; everything to their right is updated with one product.
const BLOCK: usize = 64;

/// The lower triangular factor of a matrix.
pub(super) struct Cholesky {
    factor: Vec<f64>,
    width: usize,
}

impl Cholesky {
    /// Factors a `width` x `width` matrix; `None` if it is not positive definite.
    pub(super) fn of(mut matrix: Vec<f64>, width: usize) -> Option<Self> {
        for first in (0..width).step_by(BLOCK) {
            let last = (first + BLOCK).min(width);
            for row in first..width {
                // The part of this row to the left of the block is already subtracted.
                for column in first..last.min(row + 1) {
                    let (above, below) = matrix.split_at_mut(row * width);
                    let (pivots, line) = if column == row {
                        (&below[first..column], &below[..])
                    } else {
                        (
                            &above[column * width + first..column * width + column],
                            &below[..],
                        )
                    };
                    let sum: f64 = pivots.iter().zip(&line[first..column]).map(|(a, b)| a * b).sum();
                    let rest = line[column] - sum;
                    below[column] = if column == row {
                        if rest <= 0.0 || !rest.is_finite() {
                            return None;
                        }
                        rest.sqrt()
                    } else {
                        rest / above[column * width + column]
                    };
                }
            }
            if last < width {
                let panel: Vec<f64> = (last..width)
                    .flat_map(|row| matrix[row * width + first..row * width + last].iter().copied())
                    .collect();
                let panel = View::of_rows(&panel, last - first);
                let rest = &mut matrix[last * width + last..];
                add_product_f64(-1.0, panel, panel.transposed(), rest, width);
            }
        }
        Some(Self {
            factor: matrix,
            width,
        })
    }

    /// Replaces the right-hand side by the solution.
    pub(super) fn solve(&self, values: &mut [f64]) {
        let row = |index: usize| &self.factor[index * self.width..index * self.width + index];
        let pivot = |index: usize| self.factor[index * self.width + index];
        for index in 0..self.width {
            let known: f64 = row(index).iter().zip(&*values).map(|(a, b)| a * b).sum();
            values[index] = (values[index] - known) / pivot(index);
        }
        for index in (0..self.width).rev() {
            let value = values[index] / pivot(index);
            values[index] = value;
            for (other, factor) in values.iter_mut().zip(row(index)) {
                *other -= factor * value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_solution_times_the_matrix_is_the_right_hand_side() {
        // Wider than two blocks.
        for width in [1, 5, 64, 65, 150] {
            let element = |row: usize, column: usize| {
                let near = 1.0 / (1.0 + row.abs_diff(column) as f64);
                if row == column {
                    3.0 + row as f64 / 50.0
                } else {
                    near / 2.0
                }
            };
            let matrix: Vec<f64> = (0..width * width)
                .map(|at| element(at / width, at % width))
                .collect();
            let mut solution: Vec<f64> = (0..width).map(|index| (index as f64).sin()).collect();
            Cholesky::of(matrix, width).unwrap().solve(&mut solution);
            for row in 0..width {
                let found: f64 = (0..width)
                    .map(|column| element(row, column) * solution[column])
                    .sum();
                assert!((found - (row as f64).sin()).abs() < 1e-9, "{width}: row {row}");
            }
        }
    }

    #[test]
    fn a_matrix_that_is_not_positive_definite_is_refused() {
        assert!(Cholesky::of(vec![1.0, 2.0, 2.0, 1.0], 2).is_none());
        assert!(Cholesky::of(vec![f64::NAN], 1).is_none());
    }
}
