//! Conversion into a `.weights.h5` of Keras.

use std::path::Path;

use anyhow::{bail, ensure};
use effnet::{
    Manifest, PreprocessingOverrides, Profile, Scheme, StateDict, Variant, keras_has, keras_normalisation,
    keras_weights, transform,
};
use effnet_checkpoint::DType;

use super::Input;
use crate::Printer;
use crate::arguments::{ConvertArguments, FloatType};

/// timm's ports of V2-S, M and L rescale by 1 / 127.5, and Keras as the networks were trained: by 1 / 128.
fn normalises_otherwise(variant: Variant, of_keras: Normalisation, stated: Normalisation) -> String {
    let shown = |(mean, std): Normalisation| {
        let list = |values: [f64; 3]| values.map(|value| format!("{value:.4}")).join(", ");
        format!("mean {} and std {}", list(mean), list(std))
    };
    format!(
        "Keras's {variant} normalises images by itself, with {}, and these weights need {}: for their logits, build the \
         network with include_preprocessing=False and normalise images before it",
        shown(of_keras),
        shown(stated)
    )
}

/// Whether both are the same up to the rounding of metadata.
fn is_near(left: Normalisation, right: Normalisation) -> bool {
    let left = left.0.into_iter().chain(left.1);
    let right = right.0.into_iter().chain(right.1);
    left.zip(right).all(|(left, right)| (left - right).abs() < 1e-6)
}

/// Mean and standard deviation for values in `[0, 1]`.
type Normalisation = ([f64; 3], [f64; 3]);

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
    printer: &Printer,
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
        keras_has(file.variant),
        "Keras does not have {}, only B0 to B7 and V2 B0 to B3, S, M and L; write a .safetensors file instead",
        file.variant
    );
    ensure!(
        file.profile == Profile::Tf,
        "Keras's EfficientNet pads as TensorFlow does (profile tf), and these weights need profile {}; pass --to timm",
        file.profile
    );
    let transform = transform(&PreprocessingOverrides::default(), file, manifest)?;
    // The shortest decimals of a 32-bit number.
    let exact = |value: f32| value.to_string().parse().unwrap_or(f64::from(value));
    let stated = (transform.mean.map(exact), transform.std.map(exact));
    if let Some(of_keras) = keras_normalisation(file.variant)
        && !is_near(of_keras, stated)
    {
        printer.warning(normalises_otherwise(file.variant, of_keras, stated));
    }
    Ok(keras_weights(tensors, stated.0, stated.1)?)
}
