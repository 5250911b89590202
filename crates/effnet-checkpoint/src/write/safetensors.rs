//! Writes safetensors files.

use std::io::Write as _;

use super::atomic_file::AtomicFile;
use super::{Job, WriteError};
use crate::{DType, Tensor, TensorError};

/// Writes tensors with larger elements first, so that each starts at a multiple of its element size.
pub(super) fn write(job: &Job<'_>, file: &mut AtomicFile) -> Result<(), WriteError> {
    let mut tensors: Vec<(&str, &Tensor)> = job.state_dict.iter().collect();
    tensors.sort_by_key(|(_, tensor)| std::cmp::Reverse(job.dtype(tensor).size()));
    let mut header = header(job, &tensors)?;
    let padded = header.len().next_multiple_of(8);
    header.extend(std::iter::repeat_n(' ', padded - header.len()));
    let put = |file: &mut AtomicFile, bytes: &[u8]| file.write_all(bytes).map_err(|source| job.io(source));
    put(file, &(header.len() as u64).to_le_bytes())?;
    put(file, header.as_bytes())?;
    for (name, tensor) in tensors {
        job.with_bytes(name, tensor, |bytes| file.write_all(bytes))?;
    }
    Ok(())
}

fn header(job: &Job<'_>, tensors: &[(&str, &Tensor)]) -> Result<String, WriteError> {
    // Python libraries check this entry for the framework that wrote the file.
    let mut metadata = job.options.metadata.clone();
    metadata
        .entry("format".to_owned())
        .or_insert_with(|| "pt".to_owned());
    let mut text = format!("{{\"__metadata__\":{}", serde_json::json!(metadata));
    let mut start = 0;
    for (name, tensor) in tensors {
        let dtype = job.dtype(tensor);
        let Some(dtype_name) = dtype_name(dtype) else {
            let (path, name, what) = (job.path.to_owned(), (*name).to_owned(), dtype.to_string());
            let source = TensorError::Unsupported {
                path: path.clone(),
                name: name.clone(),
                what,
            };
            return Err(WriteError::Tensor { path, name, source });
        };
        let end = start + tensor.numel() * dtype.size();
        let facts = serde_json::json!({
            "dtype": dtype_name, "shape": tensor.shape(), "data_offsets": [start, end]
        });
        text.push(',');
        text.push_str(&serde_json::json!(name).to_string());
        text.push(':');
        text.push_str(&facts.to_string());
        start = end;
    }
    text.push('}');
    Ok(text)
}

fn dtype_name(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        DType::F64 => "F64",
        DType::F32 => "F32",
        DType::F16 => "F16",
        DType::BF16 => "BF16",
        DType::I64 => "I64",
        DType::I32 => "I32",
        DType::I16 => "I16",
        DType::I8 => "I8",
        DType::U8 => "U8",
        DType::U16 => "U16",
        DType::U32 => "U32",
        DType::U64 => "U64",
        DType::Bool => "BOOL",
        DType::Unsupported(_) => return None,
    })
}
