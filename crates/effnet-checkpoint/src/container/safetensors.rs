//! The safetensors format: the length of a JSON header, the header, the bytes of all tensors.

use std::collections::BTreeMap;
use std::sync::Arc;

use safetensors::tensor::{Dtype, Metadata};

use crate::dtype::Unsupported;
use crate::error::ErrorKind;
use crate::mapped::MappedFile;
use crate::storage::Storage;
use crate::tensor::{byte_count, contiguous_strides};
use crate::{Container, DType, Tensor};

const SAFETENSORS: Container = Container::Safetensors;

/// Whether the file starts with an 8-byte header length and the opening brace of the header.
pub(crate) fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((head, rest)) = bytes.split_first_chunk::<8>() else {
        return false;
    };
    // The format limits headers to 100 MB; a larger number is the start of some other file.
    rest.first() == Some(&b'{') && u64::from_le_bytes(*head) <= 100_000_000
}

/// Names and tensors in the order of their bytes, and the entries of `__metadata__`.
pub(crate) type Contents = (Vec<(String, Tensor)>, BTreeMap<String, String>);

pub(crate) fn read(file: &Arc<MappedFile>) -> Result<Contents, ErrorKind> {
    let bytes = file.bytes();
    let (header, start) = header(bytes)?;
    // `Metadata` checks that tensors follow each other without gaps.
    let held = bytes.len() - start;
    match header.data_len() {
        declared if declared > held => {
            let what = format!("its tensors have {declared} bytes, found {held}");
            return Err(SAFETENSORS.truncated(what));
        }
        declared if declared < held => {
            let what = format!("{} bytes follow its last tensor", held - declared);
            return Err(SAFETENSORS.damaged(what));
        }
        _ => {}
    }
    let mut tensors = Vec::new();
    for name in header.offset_keys() {
        let tensor = tensor(file, &header, &name, start)?;
        tensors.push((name, tensor));
    }
    let metadata = header
        .metadata()
        .iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.clone()));
    Ok((tensors, metadata.collect()))
}

/// The parsed header, and the position of the first tensor. The header is located here rather than by the
/// library's `read_metadata`, which adds up declared lengths without checking for overflow.
fn header(bytes: &[u8]) -> Result<(Metadata, usize), ErrorKind> {
    let short = || SAFETENSORS.truncated("its header reaches beyond the end of the file");
    let (head, rest) = bytes.split_first_chunk::<8>().ok_or_else(short)?;
    let len = usize::try_from(u64::from_le_bytes(*head)).map_err(|_| short())?;
    let text = rest.get(..len).ok_or_else(short)?;
    let header = serde_json::from_slice(text)
        .map_err(|error| SAFETENSORS.damaged(format!("its header is invalid: {error}")))?;
    Ok((header, 8 + len))
}

fn tensor(file: &Arc<MappedFile>, header: &Metadata, name: &str, start: usize) -> Result<Tensor, ErrorKind> {
    let bad = |what: &str| ErrorKind::BadTensor {
        name: name.to_owned(),
        what: what.to_owned(),
    };
    let info = header
        .info(name)
        .ok_or_else(|| bad("its description is missing"))?;
    let shape = info.shape.clone();
    let dtype = dtype(info.dtype);
    if let DType::Unsupported(_) = dtype {
        byte_count(DType::U8, &shape).ok_or_else(|| bad("its shape is too large for any memory"))?;
        let what = format!("{:?}", info.dtype);
        return Ok(Tensor::unsupported(dtype, shape, file.path.clone(), name, &what));
    }
    let (from, to) = info.data_offsets;
    if byte_count(dtype, &shape) != to.checked_sub(from) {
        return Err(bad("its shape does not match its bytes"));
    }
    let storage = Storage::mapped(file, start + from..start + to);
    Ok(Tensor::view(
        dtype,
        shape.clone(),
        contiguous_strides(&shape),
        storage,
        false,
    ))
}

fn dtype(dtype: Dtype) -> DType {
    match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I64 => DType::I64,
        Dtype::I32 => DType::I32,
        Dtype::I16 => DType::I16,
        Dtype::I8 => DType::I8,
        Dtype::U8 => DType::U8,
        Dtype::U16 => DType::U16,
        Dtype::U32 => DType::U32,
        Dtype::U64 => DType::U64,
        Dtype::BOOL => DType::Bool,
        Dtype::C64 => DType::Unsupported(Unsupported::Complex),
        _ => DType::Unsupported(Unsupported::Float8),
    }
}
