//! Copies Rust slices into tensors, and borrows tensors as slices.

use tch::{Device, Kind, Tensor};

use crate::Error;

/// Concatenates `parts` into a tensor of 32-bit floats on the CPU: builds a batch from its images, copying each
/// image once.
///
/// # Errors
/// [`Error::Length`] when the number of values in `parts` does not match `shape`, [`Error::Torch`] when out of
/// memory.
pub fn concatenate(parts: &[&[f32]], shape: &[i64]) -> Result<Tensor, Error> {
    let found: usize = parts.iter().map(|part| part.len()).sum();
    let expected = shape.iter().try_fold(1usize, |product, &side| {
        product.checked_mul(usize::try_from(side).ok()?)
    });
    if expected != Some(found) {
        return Err(Error::Length {
            shape: shape.to_vec(),
            found,
        });
    }
    let tensor = Tensor::f_empty(shape, (Kind::Float, Device::Cpu))?;
    let mut target = tensor.data_ptr().cast::<f32>();
    for part in parts {
        // SAFETY: the tensor is new and contiguous, and has room for `found` floats, of which those before
        // `target` are written. Nothing else refers to its memory, so no part overlaps it.
        unsafe {
            std::ptr::copy_nonoverlapping(part.as_ptr(), target, part.len());
            target = target.add(part.len());
        }
    }
    Ok(tensor)
}

/// Returns the values of a contiguous tensor of 32-bit floats on the CPU, or `None` for any other tensor.
///
/// # Safety
/// While the slice is alive, the values must not be changed, neither through this tensor nor through another
/// tensor that shares its memory.
pub unsafe fn float_slice(tensor: &Tensor) -> Option<&[f32]> {
    let fits = tensor.device() == Device::Cpu && tensor.kind() == Kind::Float && tensor.is_contiguous();
    let start = tensor.data_ptr().cast::<f32>();
    // SAFETY: the pointer of a contiguous tensor of floats on the CPU points to `numel` of them, which live as
    // long as the borrow and, by this function's contract, do not change.
    (fits && !start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start, tensor.numel()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other() {
        let batch = concatenate(&[&[1.0, 2.0, 3.0], &[], &[4.0, 5.0, 6.0]], &[2, 3]).unwrap();
        assert_eq!(batch.size(), [2, 3]);
        let values: Vec<f32> = batch.flatten(0, -1).try_into().unwrap();
        assert_eq!(values, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn a_shape_of_another_length_is_refused() {
        for shape in [&[4, 2][..], &[-1, 3], &[i64::MAX, i64::MAX], &[7]] {
            let error = concatenate(&[&[0.0; 6]], shape).unwrap_err();
            assert!(matches!(error, Error::Length { found: 6, .. }), "{error}");
        }
    }
}
