//! The safetensors format: the length of a JSON header, the header, the bytes of all tensors.

use std::collections::BTreeMap;
use std::sync::Arc;

use safetensors::tensor::Dtype;

use super::safetensors_header::{Described, Header};
use crate::budget::Budget;
use crate::dtype::Unsupported;
use crate::error::ErrorKind;
use crate::mapped::MappedFile;
use crate::quote::quote;
use crate::storage::Storage;
use crate::tensor::{byte_count, contiguous_strides};
use crate::{Container, DType, Tensor};

const SAFETENSORS: Container = Container::Safetensors;

/// Returns whether the file starts with an 8-byte header length and the opening brace of the header.
pub(crate) fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((head, rest)) = bytes.split_first_chunk::<8>() else {
        return false;
    };
    // The format limits headers to 100 MB; a larger number is the start of a different kind of file.
    rest.first() == Some(&b'{') && u64::from_le_bytes(*head) <= 100_000_000
}

/// Names and tensors in the order of their bytes, and the entries of `__metadata__`.
pub(crate) type Contents = (Vec<(String, Tensor)>, BTreeMap<String, String>);

pub(crate) fn read(file: &Arc<MappedFile>, budget: &Budget) -> Result<Contents, ErrorKind> {
    let (mut header, start) = header(file.bytes(), budget)?;
    check_names(&header)?;
    // Empty tensors may start where another tensor starts; they keep the order of the header.
    header.tensors.sort_by_key(|tensor| tensor.offsets);
    let declared = check_offsets(&header)?;
    let held = file.bytes().len() - start;
    if declared > held {
        let what = format!("its header declares {declared} bytes of tensors, found {held}");
        return Err(SAFETENSORS.truncated(what));
    }
    if declared < held {
        let what = format!("{} bytes follow its last tensor", held - declared);
        return Err(SAFETENSORS.damaged(what));
    }
    let tensors = header.tensors.into_iter();
    let tensors = tensors.map(|described| tensor(file, described, start)).collect();
    Ok((tensors, header.metadata))
}

/// Checks that sorted tensors follow each other without gaps and have the bytes that their shapes need.
/// Returns the end of the last tensor.
fn check_offsets(header: &Header) -> Result<usize, ErrorKind> {
    let mut end = 0;
    for Described {
        name,
        dtype,
        shape,
        offsets: (from, to),
    } in &header.tensors
    {
        let bad = |what: &str| ErrorKind::BadTensor {
            name: quote(name),
            what: what.to_owned(),
        };
        let len = to.checked_sub(*from).filter(|_| *from == end);
        let len = len.ok_or_else(|| bad("its bytes do not follow those of the tensor before it"))?;
        let bits = bit_count(*dtype, shape).ok_or_else(|| bad("its shape is too large for any memory"))?;
        if bits != 8 * len as u128 {
            return Err(bad("its shape does not match its bytes"));
        }
        end = *to;
    }
    Ok(end)
}

/// Parses the header, and returns it with the position of the first tensor.
fn header(bytes: &[u8], budget: &Budget) -> Result<(Header, usize), ErrorKind> {
    let short = || SAFETENSORS.truncated("its header reaches beyond the end of the file");
    let (head, rest) = bytes.split_first_chunk::<8>().ok_or_else(short)?;
    let len = usize::try_from(u64::from_le_bytes(*head)).map_err(|_| short())?;
    let text = rest.get(..len).ok_or_else(short)?;
    let header = Header::parse(text, budget)
        .map_err(|error| SAFETENSORS.damaged(format!("its header is invalid: {error}")))?;
    Ok((header, 8 + len))
}

/// Rejects duplicate names, because readers differ in which of the two tensors they use.
fn check_names(header: &Header) -> Result<(), ErrorKind> {
    let mut names: Vec<&str> = header.tensors.iter().map(|tensor| &*tensor.name).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(SAFETENSORS.damaged(format!(
            "it has two tensors named `{}`, and readers differ in which one they use",
            quote(pair[0])
        ))),
        None => Ok(()),
    }
}

/// Returns the size of a tensor in bits; `None` if its bytes exceed any memory. Some types have fewer than 8
/// bits.
fn bit_count(dtype: Dtype, shape: &[usize]) -> Option<u128> {
    let elements = byte_count(DType::U8, shape)? as u128;
    elements.checked_mul(dtype.bitsize() as u128)
}

/// Returns the name of a tensor, and the tensor, whose bytes have been checked.
fn tensor(file: &Arc<MappedFile>, described: Described, start: usize) -> (String, Tensor) {
    let Described {
        name,
        dtype: kind,
        shape,
        offsets: (from, to),
    } = described;
    let dtype = dtype(kind);
    let tensor = if let DType::Unsupported(_) = dtype {
        Tensor::unsupported(dtype, shape, file.path.clone(), &name, &format!("{kind:?}"))
    } else {
        let storage = Storage::mapped(file, start + from..start + to);
        let strides = contiguous_strides(&shape);
        Tensor::view(dtype, shape, strides, storage, false)
    };
    (name, tensor)
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
