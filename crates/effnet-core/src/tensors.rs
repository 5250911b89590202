//! Conversion between tensors in files and libtorch's tensors.

use effnet_checkpoint::{DType, StateDict, Tensor as FileTensor};
use tch::{Device, Kind, Tensor};

use crate::{EfficientNet, Error};

/// The element types that both files and libtorch support.
const KINDS: [(DType, Kind); 10] = [
    (DType::F64, Kind::Double),
    (DType::F32, Kind::Float),
    (DType::F16, Kind::Half),
    (DType::BF16, Kind::BFloat16),
    (DType::I64, Kind::Int64),
    (DType::I32, Kind::Int),
    (DType::I16, Kind::Int16),
    (DType::I8, Kind::Int8),
    (DType::U8, Kind::Uint8),
    (DType::Bool, Kind::Bool),
];

/// Copies a tensor from a file into a libtorch tensor on the CPU, with the same element type.
///
/// # Errors
/// [`Error::Tensor`] when the values cannot be read, [`Error::Torch`] when libtorch does not support the type or
/// runs out of memory.
pub fn to_torch(source: &FileTensor) -> Result<Tensor, Error> {
    let kind = KINDS
        .iter()
        .find(|(dtype, _)| *dtype == source.dtype())
        .map(|&(_, kind)| kind)
        .ok_or_else(|| {
            tch::TchError::Kind(format!(
                "libtorch does not support tensors of type {}",
                source.dtype()
            ))
        })?;
    let shape: Vec<i64> = source.shape().iter().map(|&side| side as i64).collect();
    let bytes = source.bytes()?;
    let needed = shape.iter().product::<i64>() as usize * kind.elt_size_in_bytes();
    // tch copies `needed` bytes from the slice without checking its length.
    if bytes.len() != needed {
        let message = format!("expected {needed} bytes for a tensor, found {}", bytes.len());
        return Err(tch::TchError::Shape(message).into());
    }
    Ok(Tensor::f_from_data_size(&bytes, &shape, kind)?)
}

/// Copies a libtorch tensor on any device into a tensor that can be written to a file.
///
/// # Errors
/// [`Error::Torch`] when files do not support the type, or when libtorch cannot copy the tensor.
pub fn from_torch(source: &Tensor) -> Result<FileTensor, Error> {
    let kind = source.f_kind()?;
    let dtype = KINDS
        .iter()
        .find(|&&(_, own)| own == kind)
        .map(|&(dtype, _)| dtype)
        .ok_or_else(|| {
            tch::TchError::Kind(format!("a tensor of type {kind:?} cannot be written to a file"))
        })?;
    let shape: Vec<usize> = source.size().iter().map(|&side| side as usize).collect();
    let local = source.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
    let mut bytes = vec![0; local.numel() * kind.elt_size_in_bytes()];
    local.f_copy_data_u8(&mut bytes, local.numel())?;
    Ok(FileTensor::from_bytes(dtype, shape, bytes)?)
}

/// Converts images `[N, C, H, W]` to the channels-last memory format, in which convolutions are fastest on every
/// device. The shape is unchanged.
///
/// # Errors
/// An error when libtorch fails: when the number of dimensions is wrong, or memory runs out.
pub fn channels_last(images: &Tensor) -> Result<Tensor, tch::TchError> {
    images
        .f_permute([0, 2, 3, 1])?
        .f_contiguous()?
        .f_permute([0, 3, 1, 2])
}

impl EfficientNet {
    /// Copies all parameters and buffers, under their names in the original implementation, in the order of
    /// PyTorch's `state_dict()`.
    ///
    /// # Errors
    /// The errors of [`from_torch`].
    pub fn state_dict(&self) -> Result<StateDict, Error> {
        self.named_tensors()
            .map(|(name, tensor)| Ok((name, from_torch(tensor)?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shared_type_comes_back_as_it_went() {
        for (dtype, kind) in KINDS {
            let tensor = Tensor::from_slice(&[1i64, 0, 1, 1, 0, 1])
                .view([2, 3])
                .to_kind(kind);
            let stored = from_torch(&tensor).unwrap();
            assert_eq!((stored.dtype(), stored.shape()), (dtype, &[2, 3][..]));
            let back = to_torch(&stored).unwrap();
            assert_eq!(back.kind(), kind);
            assert!(back.equal(&tensor), "{kind:?}");
        }
    }

    #[test]
    fn a_transposed_tensor_is_stored_row_by_row() {
        let tensor = Tensor::from_slice(&[1u8, 2, 3, 4, 5, 6]).view([2, 3]).tr();
        assert_eq!(
            &*from_torch(&tensor).unwrap().bytes().unwrap(),
            [1, 4, 2, 5, 3, 6]
        );
    }

    #[test]
    fn a_type_that_no_file_has_is_refused() {
        let complex = Tensor::zeros([1], (Kind::ComplexFloat, Device::Cpu));
        let error = from_torch(&complex).unwrap_err().to_string();
        assert!(error.contains("ComplexFloat"), "{error}");
    }
}
