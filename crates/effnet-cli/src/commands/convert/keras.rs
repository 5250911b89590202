//! Conversion into a `.weights.h5` of Keras.

use std::path::Path;

use anyhow::{bail, ensure};
use effnet::{Manifest, PreprocessingOverrides, Profile, Scheme, StateDict, keras_weights, transform};
use effnet_checkpoint::DType;

use super::Input;
use crate::arguments::{ConvertArguments, FloatType};

/// Whether the output is a file of Keras.
pub(super) fn is_file(output: &Path) -> bool {
    let name = output.file_name().unwrap_or_default().to_string_lossy();
    name.to_ascii_lowercase().ends_with(".weights.h5")
}

/// Returns the variables of Keras's layers, with the normalisation that is part of its networks.
pub(super) fn variables(
    input: &Input,
    tensors: &StateDict,
    arguments: &ConvertArguments,
    manifest: &Manifest,
) -> anyhow::Result<StateDict> {
    ensure!(
        arguments.to == Scheme::Keras,
        "a .weights.h5 file has the layers of Keras; pass --to keras, or write a .safetensors file"
    );
    let is_bf16 = match arguments.dtype {
        Some(dtype) => dtype == FloatType::Bf16,
        None => tensors.iter().any(|(_, tensor)| tensor.dtype() == DType::BF16),
    };
    ensure!(
        !is_bf16,
        "a .weights.h5 file cannot hold bf16; pass --dtype f16 or --dtype f32"
    );
    let Some(file) = &input.file else {
        bail!("Keras has no EfficientNet of these widths or depths; write a .safetensors file instead");
    };
    ensure!(
        file.profile == Profile::Tf,
        "Keras's EfficientNet pads as TensorFlow does (profile tf), and these weights need profile {}; pass --to timm",
        file.profile
    );
    let transform = transform(&PreprocessingOverrides::default(), file, manifest)?;
    // The shortest decimals of a 32-bit number.
    let exact = |value: f32| value.to_string().parse().unwrap_or(f64::from(value));
    Ok(keras_weights(
        tensors,
        transform.mean.map(exact),
        transform.std.map(exact),
    )?)
}
