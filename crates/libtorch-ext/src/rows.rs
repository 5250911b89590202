//! A tensor whose rows are filled by several threads.
//!
//! Threads that decode images write them straight into the batch, which saves a copy of each image.

use std::sync::{Arc, Mutex, PoisonError};

use tch::{Device, Kind, Tensor};

use crate::Error;

/// A tensor of 32-bit floats on the CPU whose rows can be written by other threads.
///
/// The rows are the memory of the tensor, so values written to them are not copied.
#[derive(Debug)]
pub struct RowBuffer {
    tensor: Arc<Mutex<Tensor>>,
}

impl RowBuffer {
    /// Allocates a buffer of shape `shape`, `[rows, ...]`, and returns it with its rows.
    ///
    /// # Errors
    /// [`Error::Length`] for a shape without dimensions, with a negative dimension, or with too many values;
    /// [`Error::Torch`] when out of memory.
    pub fn new(shape: &[i64]) -> Result<(Self, Vec<Row>), Error> {
        let product = |sides: &[i64]| {
            sides.iter().try_fold(1_usize, |product, &side| {
                product.checked_mul(usize::try_from(side).ok()?)
            })
        };
        let sizes = shape.split_first().and_then(|(rows, sides)| {
            product(shape)?;
            Some((usize::try_from(*rows).ok()?, product(sides)?))
        });
        let Some((rows, length)) = sizes else {
            return Err(Error::Length {
                shape: shape.to_vec(),
                found: 0,
            });
        };
        let tensor = Tensor::f_empty(shape, (Kind::Float, Device::Cpu))?;
        let start = tensor.data_ptr().cast::<f32>();
        let tensor = Arc::new(Mutex::new(tensor));
        let row = |index: usize| Row {
            // SAFETY: the tensor is contiguous and has `rows * length` floats.
            start: unsafe { start.add(index * length) },
            length,
            initialized: false,
            _tensor: Arc::clone(&tensor),
        };
        let rows = (0..rows).map(row).collect();
        Ok((Self { tensor }, rows))
    }

    /// Returns the tensor with the values written to its rows; rows that were never written are zeros.
    ///
    /// # Errors
    /// Returns the buffer itself if any of its rows still exists.
    pub fn finish(self) -> Result<Tensor, Self> {
        let tensor = Arc::try_unwrap(self.tensor).map_err(|tensor| Self { tensor })?;
        Ok(tensor.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One row of a [`RowBuffer`], which one thread at a time can write.
#[derive(Debug)]
pub struct Row {
    start: *mut f32,
    length: usize,
    initialized: bool,
    /// Keeps the memory alive.
    _tensor: Arc<Mutex<Tensor>>,
}

// SAFETY: until it is dropped, a row is the only way to access its part of the memory, because the buffer does not
// hand out the tensor before. The row keeps the tensor alive, and with it the memory.
unsafe impl Send for Row {}

impl Row {
    /// Returns the values of the row, which are initially zero.
    pub fn values(&mut self) -> &mut [f32] {
        if !self.initialized {
            // SAFETY: `start` is the first of `length` floats that only this row accesses; all bits zero is a
            // valid float.
            unsafe { self.start.write_bytes(0, self.length) };
            self.initialized = true;
        }
        // SAFETY: as above, and the floats are initialised.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.length) }
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        // The tensor must not expose uninitialised memory.
        self.values();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_written_on_other_threads_are_the_tensor() {
        let (buffer, rows) = RowBuffer::new(&[3, 2, 2]).unwrap();
        std::thread::scope(|scope| {
            for (index, mut row) in rows.into_iter().enumerate() {
                scope.spawn(move || row.values().fill(index as f32));
            }
        });
        let tensor = buffer.finish().unwrap();
        assert_eq!(tensor.size(), [3, 2, 2]);
        let values: Vec<f32> = tensor.flatten(0, -1).try_into().unwrap();
        assert_eq!(
            values,
            [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0]
        );
    }

    #[test]
    fn the_tensor_is_withheld_while_a_row_can_be_written() {
        let (buffer, mut rows) = RowBuffer::new(&[2, 1]).unwrap();
        let mut last = rows.pop().unwrap();
        drop(rows);
        let buffer = buffer.finish().unwrap_err();
        last.values()[0] = 5.0;
        drop(last);
        let values: Vec<f32> = buffer.finish().unwrap().flatten(0, -1).try_into().unwrap();
        assert_eq!(values, [0.0, 5.0]);
    }

    #[test]
    fn a_row_outlives_its_buffer() {
        let (buffer, mut rows) = RowBuffer::new(&[1, 3]).unwrap();
        drop(buffer);
        rows[0].values().copy_from_slice(&[1.0, 2.0, 3.0]);
        assert_eq!(rows[0].values(), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn shapes_without_a_length_are_refused() {
        for shape in [&[][..], &[-1, 3], &[3, -1], &[i64::MAX, i64::MAX]] {
            assert!(
                matches!(RowBuffer::new(shape), Err(Error::Length { .. })),
                "{shape:?}"
            );
        }
    }
}
