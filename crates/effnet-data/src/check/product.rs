//! Products of matrices, for all-pairs comparisons and for probes.
//!
//! They are nearly all of the arithmetic of a check: without kernels for the processor at hand, a data set of 20,000
//! images would take minutes instead of seconds. This is the only file that calls the crate that has them, whose
//! functions take pointers, so all sizes are compared here.
#![allow(unsafe_code)]

/// A matrix inside a slice.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a, T> {
    values: &'a [T],
    rows: usize,
    columns: usize,
    /// Number of values from one row to the next, and from one column to the next.
    strides: [usize; 2],
}

impl<'a, T> View<'a, T> {
    /// The matrix whose rows of `columns` values follow each other in `values`.
    pub(super) fn of_rows(values: &'a [T], columns: usize) -> Self {
        let rows = values.len().checked_div(columns).unwrap_or(0);
        Self {
            values,
            rows,
            columns,
            strides: [columns, 1],
        }
    }

    pub(super) fn transposed(self) -> Self {
        let Self {
            rows,
            columns,
            strides: [row, column],
            ..
        } = self;
        Self {
            rows: columns,
            columns: rows,
            strides: [column, row],
            ..self
        }
    }
}

/// Returns whether a matrix of this shape and these strides lies inside `length` values.
fn fits([rows, columns]: [usize; 2], [row, column]: [usize; 2], length: usize) -> bool {
    rows == 0 || columns == 0 || (rows - 1) * row + (columns - 1) * column < length
}

macro_rules! product {
    ($name:ident, $gemm:ident, $type:ty) => {
        /// Adds `factor * a * b` to the matrix in `sum`, whose rows are `stride` values apart.
        ///
        /// # Panics
        /// Panics if the shapes do not match or a matrix does not lie inside its slice.
        pub(super) fn $name(
            factor: $type,
            a: View<'_, $type>,
            b: View<'_, $type>,
            sum: &mut [$type],
            stride: usize,
        ) {
            assert_eq!(a.columns, b.rows, "the inner sizes of a product differ");
            assert!(
                fits([a.rows, a.columns], a.strides, a.values.len())
                    && fits([b.rows, b.columns], b.strides, b.values.len())
                    && fits([a.rows, b.columns], [stride, 1], sum.len())
                    && (stride >= b.columns || a.rows <= 1),
                "a matrix exceeds its slice"
            );
            let [a_row, a_column] = a.strides.map(|stride| stride as isize);
            let [b_row, b_column] = b.strides.map(|stride| stride as isize);
            // SAFETY: the assertions keep every element that the shapes and strides reach inside its slice, rows of
            // `sum` do not overlap, and `sum` is borrowed mutably, so that it is neither `a` nor `b`.
            unsafe {
                matrixmultiply::$gemm(
                    a.rows,
                    a.columns,
                    b.columns,
                    factor,
                    a.values.as_ptr(),
                    a_row,
                    a_column,
                    b.values.as_ptr(),
                    b_row,
                    b_column,
                    1.0,
                    sum.as_mut_ptr(),
                    stride as isize,
                    1,
                );
            }
        }
    };
}

product!(add_product, sgemm, f32);
product!(add_product_f64, dgemm, f64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_adds_rows_times_columns() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let mut sum = [100.0; 4];
        let view = View::of_rows(&a, 3);
        add_product(2.0, view, view.transposed(), &mut sum, 2);
        assert_eq!(sum, [128.0, 164.0, 164.0, 254.0]);
    }

    #[test]
    #[should_panic(expected = "exceeds its slice")]
    fn a_result_without_room_is_refused() {
        let a = [1.0; 6];
        let view = View::of_rows(&a, 3);
        add_product(1.0, view, view.transposed(), &mut [0.0; 3], 2);
    }
}
