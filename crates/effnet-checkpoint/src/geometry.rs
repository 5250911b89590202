//! Checks that the shape, strides and offset of a tensor stay within its storage.
//!
//! A pickle can claim any geometry. All tensors of pickle-based formats are created here, so that a view
//! beyond its storage, or a tiny storage expanded to terabytes, is refused when the file is opened.

use std::path::Path;

use crate::budget::Budget;
use crate::error::ErrorKind;
use crate::object::{Dense, Found};
use crate::tensor::byte_count;
use crate::{DType, Tensor};

/// Creates tensors from descriptions, after checking them.
pub(crate) struct Geometry<'a> {
    pub(crate) path: &'a Path,
    /// Whether the storages are big-endian.
    pub(crate) swap: bool,
    pub(crate) budget: &'a Budget,
}

impl Geometry<'_> {
    /// Checks that the storage holds every element that the shape and strides reach.
    pub(crate) fn tensor(&self, name: &str, found: Found) -> Result<Tensor, ErrorKind> {
        let bad = |what: String| ErrorKind::BadTensor {
            name: name.to_owned(),
            what,
        };
        let Dense {
            dtype,
            shape,
            strides,
            offset,
            storage,
        } = match found {
            Found::Dense(dense) => dense,
            Found::Unsupported { dtype, shape, what } => {
                let numel = byte_count(DType::U8, &shape);
                numel.ok_or_else(|| bad(format!("its shape {shape:?} is too large for any memory")))?;
                return self.listed_only(name, dtype, shape, &what);
            }
        };
        if let DType::Unsupported(_) = dtype {
            return self.listed_only(name, dtype, shape, dtype.name());
        }
        if shape.len() != strides.len() {
            return Err(bad(format!(
                "shape {shape:?} and strides {strides:?} differ in length"
            )));
        }
        let nbytes = byte_count(dtype, &shape)
            .filter(|_| byte_count(DType::U8, &nonzero(&shape)).is_some())
            .ok_or_else(|| bad(format!("its shape {shape:?} is too large for any memory")))?;
        let reached = reach(&shape, &strides).and_then(|reach| reach.checked_mul(dtype.size()));
        let view = reached
            .zip(offset.checked_mul(dtype.size()))
            .and_then(|(len, start)| {
                if len == 0 {
                    storage.part(0, 0)
                } else {
                    storage.part(start, len)
                }
            });
        let view = view.ok_or_else(|| {
            bad(format!(
                "shape {shape:?}, strides {strides:?} and offset {offset} of {dtype} reach beyond its storage \
                 of {} bytes",
                storage.len()
            ))
        })?;
        let tensor = Tensor::view(dtype, shape, strides, view, self.swap);
        let copied = if tensor.is_contiguous() && !self.swap {
            0
        } else {
            nbytes
        };
        self.budget.tensor(tensor.shape().len(), nbytes, copied)?;
        Ok(tensor)
    }

    /// Creates a tensor of an unsupported kind, which records only its name and its file.
    fn listed_only(
        &self,
        name: &str,
        dtype: DType,
        shape: Vec<usize>,
        what: &str,
    ) -> Result<Tensor, ErrorKind> {
        let (path, dimensions) = (self.path.to_owned(), shape.len());
        self.budget.name(name.len() + path.as_os_str().len())?;
        self.budget.tensor(dimensions, 0, 0)?;
        Ok(Tensor::unsupported(dtype, shape, path, name, what))
    }
}

/// Returns the shape with zeros replaced by ones, so that a zero does not hide an overflow of the product.
fn nonzero(shape: &[usize]) -> Vec<usize> {
    shape.iter().map(|&size| size.max(1)).collect()
}

/// Returns the number of elements from the first to the last one that the strides reach.
fn reach(shape: &[usize], strides: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    let steps = shape
        .iter()
        .zip(strides)
        .try_fold(0usize, |total, (&size, &stride)| {
            total.checked_add((size - 1).checked_mul(stride)?)
        });
    steps?.checked_add(1)
}
