//! Tensors made from Rust's memory.

use tch::{Device, Kind, Tensor};

use crate::Error;

/// A tensor of 32-bit floats on the CPU with the values of `parts`, one after the other: a batch from
/// its images, with one copy of each.
///
/// # Errors
/// [`Error::Length`] when `parts` do not have as many values as `shape`, [`Error::Torch`] when memory
/// is short.
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
        // SAFETY: the tensor is new, contiguous and has room for `found` floats, of which those
        // before `target` are written; nobody else has seen it, so it overlaps with no part.
        unsafe {
            std::ptr::copy_nonoverlapping(part.as_ptr(), target, part.len());
            target = target.add(part.len());
        }
    }
    Ok(tensor)
}

/// The values of a tensor, row by row, where they lie so in the memory of the CPU as 32-bit floats.
///
/// # Safety
/// Nobody may change the values while the slice is alive, neither through this tensor nor through another one
/// that shares its memory.
pub unsafe fn float_slice(tensor: &Tensor) -> Option<&[f32]> {
    let fits = tensor.device() == Device::Cpu && tensor.kind() == Kind::Float && tensor.is_contiguous();
    let start = tensor.data_ptr().cast::<f32>();
    // SAFETY: a contiguous tensor of floats on the CPU has as many of them from its pointer on as elements, it
    // keeps them as long as it is borrowed, and by this function's contract they do not change.
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
