//! Tensors: an element type, a shape, and a view of a storage.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use crate::storage::Storage;
use crate::{DType, TensorError};

/// A tensor in a file or in memory. Cloning it copies no elements.
#[derive(Debug, Clone)]
pub struct Tensor {
    dtype: DType,
    shape: Arc<[usize]>,
    strides: Arc<[usize]>,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    /// The bytes from the first to the last element that the strides reach.
    View { storage: Storage, swap: bool },
    /// A tensor that is only listed: its file, name and kind.
    Unsupported(Arc<(PathBuf, String, String)>),
}

impl Tensor {
    /// Creates a contiguous tensor from its little-endian bytes in row-major order.
    ///
    /// # Errors
    /// [`TensorError::WrongLength`] when the number of bytes does not match the shape.
    pub fn from_bytes(
        dtype: DType,
        shape: impl Into<Vec<usize>>,
        bytes: Vec<u8>,
    ) -> Result<Tensor, TensorError> {
        let shape = shape.into();
        let expected = byte_count(dtype, &shape)
            .filter(|_| dtype.size() > 0)
            .unwrap_or(usize::MAX);
        if bytes.len() != expected {
            let found = bytes.len();
            return Err(TensorError::WrongLength {
                dtype,
                shape,
                expected,
                found,
            });
        }
        let strides = contiguous_strides(&shape);
        Ok(Tensor::view(dtype, shape, strides, Storage::owned(bytes), false))
    }

    /// Creates a tensor of 32-bit floats from its values in row-major order.
    ///
    /// ```
    /// use effnet_checkpoint::Tensor;
    ///
    /// let weight = Tensor::from_floats([2, 2], [1.0, 0.0, 0.0, 1.0])?;
    /// assert_eq!(weight.floats()?[3], 1.0);
    /// assert!(Tensor::from_floats([2, 2], [1.0]).is_err());
    /// # Ok::<(), effnet_checkpoint::TensorError>(())
    /// ```
    ///
    /// # Errors
    /// [`TensorError::WrongLength`] when the number of values does not match the shape.
    pub fn from_floats(
        shape: impl Into<Vec<usize>>,
        values: impl IntoIterator<Item = f32>,
    ) -> Result<Tensor, TensorError> {
        let bytes = values.into_iter().flat_map(f32::to_le_bytes).collect();
        Tensor::from_bytes(DType::F32, shape, bytes)
    }

    /// Creates a view of a storage that contains exactly the elements reached; the caller has checked this.
    pub(crate) fn view(
        dtype: DType,
        shape: Vec<usize>,
        strides: Vec<usize>,
        storage: Storage,
        swap: bool,
    ) -> Tensor {
        let content = Content::View {
            storage,
            swap: swap && dtype.size() > 1,
        };
        Tensor {
            dtype,
            shape: shape.into(),
            strides: strides.into(),
            content,
        }
    }

    pub(crate) fn unsupported(
        dtype: DType,
        shape: Vec<usize>,
        path: PathBuf,
        name: &str,
        what: &str,
    ) -> Tensor {
        let strides = contiguous_strides(&shape);
        let content = Content::Unsupported(Arc::new((path, name.to_owned(), what.to_owned())));
        Tensor {
            dtype,
            shape: shape.into(),
            strides: strides.into(),
            content,
        }
    }

    /// Returns a view whose axis `i` is axis `axes[i]` of this tensor. `axes` must name every axis once; otherwise,
    /// the tensor is returned as it is.
    #[must_use]
    pub fn permuted(&self, axes: &[usize]) -> Tensor {
        let is_permutation =
            axes.len() == self.shape.len() && (0..axes.len()).all(|axis| axes.contains(&axis));
        let mut view = self.clone();
        if is_permutation {
            view.shape = axes.iter().map(|&axis| self.shape[axis]).collect();
            view.strides = axes.iter().map(|&axis| self.strides[axis]).collect();
        }
        view
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Shape, outermost dimension first; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Strides in the file, in elements. [`Tensor::bytes`] returns row-major order whatever these are.
    pub fn strides(&self) -> &[usize] {
        &self.strides
    }

    /// Number of elements; 1 for a scalar.
    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }

    /// Size of all elements in bytes; 0 for an unsupported type.
    pub fn nbytes(&self) -> usize {
        self.numel() * self.dtype.size()
    }

    /// Whether the elements are stored in row-major order.
    pub fn is_contiguous(&self) -> bool {
        is_contiguous(&self.shape, &self.strides)
    }

    /// Releases the memory that reading [`bytes`](Tensor::bytes) from a file took. This is useful when
    /// iterating over the tensors of a large file one by one; they can still be read again.
    pub fn release(&self) {
        if let Content::View { storage, .. } = &self.content {
            storage.release();
        }
    }

    /// Returns the elements, little-endian and in row-major order: borrowed from the file if it stores them
    /// that way (at any alignment), copied otherwise.
    ///
    /// # Errors
    /// [`TensorError::Unsupported`] for a complex, quantised, sparse or similar tensor, and
    /// [`TensorError::Damaged`] when a compressed entry of a zip archive cannot be decompressed.
    pub fn bytes(&self) -> Result<Cow<'_, [u8]>, TensorError> {
        let (storage, swap) = match &self.content {
            Content::View { storage, swap } => (storage, *swap),
            Content::Unsupported(described) => {
                let (path, name, what) = &**described;
                let (path, name, what) = (path.clone(), name.clone(), what.clone());
                return Err(TensorError::Unsupported { path, name, what });
            }
        };
        let stored = storage.bytes()?;
        if self.is_contiguous() && !swap {
            return Ok(Cow::Borrowed(stored));
        }
        let mut bytes = if self.is_contiguous() {
            stored.to_vec()
        } else {
            self.gather(stored)
        };
        if swap {
            bytes
                .chunks_exact_mut(self.dtype.size())
                .for_each(<[u8]>::reverse);
        }
        Ok(Cow::Owned(bytes))
    }

    /// Copies the elements into row-major order.
    fn gather(&self, stored: &[u8]) -> Vec<u8> {
        match self.dtype.size() {
            0 => Vec::new(),
            1 => self.gather_elements::<1>(stored),
            2 => self.gather_elements::<2>(stored),
            4 => self.gather_elements::<4>(stored),
            _ => self.gather_elements::<8>(stored),
        }
    }

    /// Copies elements of `SIZE` bytes: the last axis in a loop, the others as the digits of a counter. Axes of size 1
    /// do not move, as those of the kernels of 1 x 1 convolutions, most of a network's values.
    fn gather_elements<const SIZE: usize>(&self, stored: &[u8]) -> Vec<u8> {
        let (elements, _) = stored.as_chunks::<SIZE>();
        let mut gathered: Vec<[u8; SIZE]> = Vec::with_capacity(self.numel());
        let axes = self.shape.iter().zip(self.strides.iter());
        let axes: Vec<(usize, usize)> = axes
            .map(|(&size, &stride)| (size, stride))
            .filter(|axis| axis.0 != 1)
            .collect();
        let (&(length, stride), outer) = axes.split_last().unwrap_or((&(1, 0), &[]));
        let rows: usize = outer.iter().map(|axis| axis.0).product();
        let mut index = vec![0usize; outer.len()];
        let mut position = 0usize;
        for _ in 0..rows {
            let row = (0..length).map(|place| elements.get(position + place * stride));
            gathered.extend(row.map(|element| element.copied().unwrap_or([0; SIZE])));
            for (index, &(size, stride)) in index.iter_mut().zip(outer).rev() {
                *index += 1;
                position += stride;
                if *index < size {
                    break;
                }
                position -= size * stride;
                *index = 0;
            }
        }
        gathered.into_flattened()
    }
}

/// Returns the size of a tensor in bytes; `None` on overflow.
pub(crate) fn byte_count(dtype: DType, shape: &[usize]) -> Option<usize> {
    shape
        .iter()
        .try_fold(dtype.size(), |total, &size| total.checked_mul(size))
}

pub(crate) fn contiguous_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (0..shape.len().saturating_sub(1)).rev() {
        strides[axis] = strides[axis + 1].saturating_mul(shape[axis + 1].max(1));
    }
    strides
}

/// Follows PyTorch: the stride of a dimension of size 1 does not matter, and an empty tensor is contiguous.
pub(crate) fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1usize;
    for (&size, &stride) in shape.iter().zip(strides).rev() {
        if size == 0 {
            return true;
        }
        if size != 1 {
            if stride != expected {
                return shape.contains(&0);
            }
            expected = expected.saturating_mul(size);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transposed() -> Tensor {
        let storage = Storage::owned((0..6).collect());
        Tensor::view(DType::U8, vec![3, 2], vec![1, 3], storage, false)
    }

    #[test]
    fn any_order_of_axes_comes_out_row_major() {
        let shape = [2, 3, 1, 4];
        for dtype in [DType::U8, DType::BF16, DType::F32, DType::I64] {
            let size = dtype.size();
            let bytes: Vec<u8> = (0..24 * size).map(|byte| byte as u8).collect();
            let tensor = Tensor::from_bytes(dtype, shape.to_vec(), bytes.clone()).unwrap();
            for axes in [
                [0, 1, 2, 3],
                [3, 2, 0, 1],
                [1, 0, 3, 2],
                [2, 3, 1, 0],
                [3, 1, 2, 0],
            ] {
                let permuted = tensor.permuted(&axes);
                let sides = axes.map(|axis| shape[axis]);
                let mut expected = Vec::new();
                for number in 0..24 {
                    // The digits of the element's number are its index along the permuted axes.
                    let (mut rest, mut index) = (number, [0; 4]);
                    for axis in (0..4).rev() {
                        index[axes[axis]] = rest % sides[axis];
                        rest /= sides[axis];
                    }
                    let element = (index[0] * 3 + index[1]) * 4 + index[3];
                    expected.extend_from_slice(&bytes[element * size..][..size]);
                }
                assert_eq!(&*permuted.bytes().unwrap(), &expected, "{dtype:?} {axes:?}");
            }
        }
    }

    #[test]
    fn a_transposed_view_comes_out_row_major() {
        assert_eq!(&*transposed().bytes().unwrap(), [0, 3, 1, 4, 2, 5]);
    }

    #[test]
    fn a_contiguous_tensor_is_borrowed() {
        let tensor = Tensor::from_bytes(DType::I16, [2, 1], vec![1, 0, 2, 0]).unwrap();
        assert!(matches!(tensor.bytes().unwrap(), Cow::Borrowed(_)));
        assert_eq!(
            (tensor.numel(), tensor.nbytes(), tensor.strides()),
            (2, 4, &[1, 1][..])
        );
    }

    #[test]
    fn a_big_endian_view_is_swapped() {
        let tensor = Tensor::view(
            DType::I16,
            vec![2],
            vec![1],
            Storage::owned(vec![1, 2, 3, 4]),
            true,
        );
        assert_eq!(&*tensor.bytes().unwrap(), [2, 1, 4, 3]);
    }

    #[test]
    fn bytes_that_do_not_fill_the_shape_are_refused() {
        let error = Tensor::from_bytes(DType::F32, [2, 2], vec![0; 15])
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "expected 16 bytes for a tensor of f32 with shape [2, 2], found 15"
        );
        assert!(Tensor::from_bytes(DType::F32, [usize::MAX, 2], Vec::new()).is_err());
    }

    #[test]
    fn a_scalar_has_one_element_and_an_empty_tensor_none() {
        assert_eq!(Tensor::from_bytes(DType::I64, [], vec![0; 8]).unwrap().numel(), 1);
        let empty = Tensor::from_bytes(DType::F32, [0, 3], Vec::new()).unwrap();
        assert_eq!((empty.numel(), empty.bytes().unwrap().len()), (0, 0));
    }
}
