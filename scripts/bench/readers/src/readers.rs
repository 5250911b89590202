//! One function per reader, which returns the tensors of a file in one form.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};

/// Type, shape and little-endian bytes (in hexadecimal) by name.
pub type Tensors = BTreeMap<String, [Value; 3]>;

type Read = fn(&Path, Option<&str>) -> anyhow::Result<Tensors>;

pub const READERS: [(&str, Read); 4] = [
    ("effnet-checkpoint", effnet_checkpoint),
    ("pytorch-reader 0.23.0-pre.1", pytorch_reader),
    ("candle-core 0.11.1", candle),
    ("tch 0.24.0", tch),
];

fn tensor(dtype: impl ToString, shape: &[usize], bytes: &[u8]) -> [Value; 3] {
    let hexadecimal: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [json!(dtype.to_string()), json!(shape), json!(hexadecimal)]
}

/// Finds the network by itself.
fn effnet_checkpoint(path: &Path, _: Option<&str>) -> anyhow::Result<Tensors> {
    let checkpoint = effnet_checkpoint::Checkpoint::open(path)?;
    let mut found = Tensors::new();
    for (name, one) in checkpoint.state_dict().iter() {
        found.insert(name.to_owned(), tensor(one.dtype(), one.shape(), &one.bytes()?));
    }
    Ok(found)
}

fn pytorch_reader(path: &Path, key: Option<&str>) -> anyhow::Result<Tensors> {
    use pytorch_reader::PytorchReader;

    let reader = match key {
        Some(key) => PytorchReader::with_top_level_key(path, key),
        None => PytorchReader::new(path),
    };
    let reader = reader.map_err(|error| anyhow!("{error}"))?;
    let mut found = Tensors::new();
    for (name, one) in reader.tensors() {
        let dtype = format!("{:?}", one.dtype()).to_lowercase();
        found.insert(name.clone(), tensor(dtype, one.shape(), &one.read()?));
    }
    Ok(found)
}

fn candle(path: &Path, key: Option<&str>) -> anyhow::Result<Tensors> {
    let extension = path.extension().unwrap_or_default();
    let tensors = if extension == "safetensors" {
        candle_core::safetensors::load(path, &candle_core::Device::Cpu)?.into_iter().collect()
    } else {
        candle_core::pickle::read_all_with_key(path, key)?
    };
    let mut found = Tensors::new();
    for (name, one) in tensors {
        let shape = one.dims().to_vec();
        let flat = one.flatten_all()?;
        let bytes = match one.dtype() {
            candle_core::DType::U8 => flat.to_vec1::<u8>()?,
            candle_core::DType::U32 => bytes(flat.to_vec1::<u32>()?, u32::to_le_bytes),
            candle_core::DType::I16 => bytes(flat.to_vec1::<i16>()?, i16::to_le_bytes),
            candle_core::DType::I32 => bytes(flat.to_vec1::<i32>()?, i32::to_le_bytes),
            candle_core::DType::I64 => bytes(flat.to_vec1::<i64>()?, i64::to_le_bytes),
            candle_core::DType::F16 => bytes(flat.to_vec1::<half::f16>()?, half::f16::to_le_bytes),
            candle_core::DType::BF16 => bytes(flat.to_vec1::<half::bf16>()?, half::bf16::to_le_bytes),
            candle_core::DType::F32 => bytes(flat.to_vec1::<f32>()?, f32::to_le_bytes),
            candle_core::DType::F64 => bytes(flat.to_vec1::<f64>()?, f64::to_le_bytes),
            other => bail!("{other:?}"),
        };
        found.insert(name, tensor(one.dtype().as_str(), &shape, &bytes));
    }
    Ok(found)
}

fn bytes<T, const N: usize>(values: Vec<T>, of: fn(T) -> [u8; N]) -> Vec<u8> {
    values.into_iter().flat_map(of).collect()
}

/// What `VarStore::load` and `Tensor::load_multi` read: tch itself chooses by the extension.
fn tch(path: &Path, _: Option<&str>) -> anyhow::Result<Tensors> {
    let tensors = match path.extension().and_then(|extension| extension.to_str()) {
        Some("safetensors") => tch::Tensor::read_safetensors(path)?,
        // Files of `torch.save` and TorchScript.
        _ => tch::Tensor::loadz_multi(path).or_else(|_| tch::Tensor::load_multi(path))?,
    };
    let mut found = Tensors::new();
    for (name, one) in tensors {
        let dtype = match one.f_kind()? {
            tch::Kind::Double => "f64",
            tch::Kind::Float => "f32",
            tch::Kind::Half => "f16",
            tch::Kind::BFloat16 => "bf16",
            tch::Kind::Int64 => "i64",
            tch::Kind::Int => "i32",
            tch::Kind::Int16 => "i16",
            tch::Kind::Int8 => "i8",
            tch::Kind::Uint8 => "u8",
            tch::Kind::Bool => "bool",
            other => bail!("{other:?}"),
        };
        let shape: Vec<usize> = one.size().iter().map(|&side| side as usize).collect();
        let flat = one.contiguous();
        let size = flat.numel() * flat.f_kind()?.elt_size_in_bytes();
        let mut bytes = vec![0; size];
        flat.f_copy_data_u8(&mut bytes, flat.numel()).context("copy")?;
        found.insert(name, tensor(dtype, &shape, &bytes));
    }
    Ok(found)
}
