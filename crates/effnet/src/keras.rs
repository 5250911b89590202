//! Keras files of EfficientNets: numbered layers get their names, and the normalisation in the network becomes
//! preprocessing, which is where all other files have it.

use std::collections::BTreeMap;

use effnet_architecture::{Family, NamingError, Variant, name_keras_layers, number_keras_layers};
use effnet_checkpoint::{Checkpoint, Container, DType, StateDict, Tensor, TensorError};

use crate::{EfficientNetNames, Error, MetadataError};

const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];
/// The standard deviation of ImageNet, which the published files state as the variance: `keras.applications` divides
/// by its square root once more behind the normalisation, if it loads them by name.
const IMAGENET_STD: [f64; 3] = [0.229, 0.224, 0.225];
const NORMALISATION: &str = "normalization";
/// Mean and standard deviation of `Rescaling(scale=1 / 128, offset=-1)` for values in `[0, 1]`.
const RESCALING: f64 = 128.0 / 255.0;

/// Whether `keras.applications` has the variant.
///
/// Public for the other crates of this workspace.
pub fn keras_has(variant: Variant) -> bool {
    match variant.family() {
        Family::V1 => !matches!(variant, Variant::B8 | Variant::L2),
        Family::V2 => keras_normalisation(variant).is_some(),
        _ => false,
    }
}

/// Mean and standard deviation for values in `[0, 1]` that are part of the network in Keras rather than of its weights:
/// the files of V2 do not contain them. `None` for a network whose weights contain them.
///
/// Public for the other crates of this workspace.
pub fn keras_normalisation(variant: Variant) -> Option<([f64; 3], [f64; 3])> {
    use Variant::{V2B0, V2B1, V2B2, V2B3, V2L, V2M, V2S};
    match variant {
        V2B0 | V2B1 | V2B2 | V2B3 => Some((IMAGENET_MEAN, IMAGENET_STD)),
        V2S | V2M | V2L => Some(([RESCALING; 3], [RESCALING; 3])),
        _ => None,
    }
}

/// Prepares a Keras file for everything that reads checkpoints. Other files are returned as they are.
///
/// # Errors
/// [`Error::Metadata`] for a normalisation that
/// contradicts the metadata of the file or cannot be a preprocessing.
pub(crate) fn adopt(checkpoint: Checkpoint) -> Result<Checkpoint, Error> {
    if !matches!(checkpoint.container(), Container::Hdf5 | Container::Keras) {
        return Ok(checkpoint);
    }
    let path = checkpoint.path().to_owned();
    // Of another network, the names stay as they are, and reading its dimensions says what it is not.
    let mut tensors = named(checkpoint.state_dict()).unwrap_or_else(|_| checkpoint.state_dict().clone());
    let mut metadata = checkpoint.metadata().clone();
    let normalisation = take_normalisation(&mut tensors);
    normalisation
        .and_then(|normalisation| {
            if let Some(normalisation) = normalisation {
                return record(&mut metadata, normalisation);
            }
            state_normalisation(&tensors, &mut metadata);
            Ok(())
        })
        .map_err(|source| Error::Metadata { path, source })?;
    Ok(checkpoint.with_contents(tensors, metadata))
}

/// States the normalisation that is part of the network, unless the metadata already has a normalisation.
fn state_normalisation(tensors: &StateDict, metadata: &mut BTreeMap<String, String>) {
    if metadata.contains_key("mean") || metadata.contains_key("std") {
        return;
    }
    let signature = tensors.signature().ok();
    let variant = signature.and_then(|signature| Variant::recognise(&signature));
    if let Some((mean, std)) = variant.and_then(keras_normalisation) {
        metadata.insert("mean".to_owned(), serde_json::json!(mean).to_string());
        metadata.insert("std".to_owned(), serde_json::json!(std).to_string());
    }
}

/// Names numbered layers.
fn named(tensors: &StateDict) -> Result<StateDict, NamingError> {
    let Some(layers) = name_keras_layers(&tensors.shapes())? else {
        return Ok(tensors.clone());
    };
    let layers: BTreeMap<String, String> = layers.into_iter().collect();
    let renamed = tensors.iter().map(|(name, tensor)| {
        let (place, leaf) = name.rsplit_once('.').unwrap_or((name, ""));
        let name = match layers.get(place) {
            Some(layer) => format!("{layer}.{leaf}"),
            None => name.to_owned(),
        };
        (name, tensor.clone())
    });
    Ok(renamed.collect())
}

/// Mean and standard deviation for values in `[0, 1]`.
type Normalisation = ([f64; 3], [f64; 3]);

/// Removes the normalisation layer; `None` if there is none.
fn take_normalisation(tensors: &mut StateDict) -> Result<Option<Normalisation>, MetadataError> {
    let of_layer = |name: &str| {
        let (place, _) = name.rsplit_once('.')?;
        let is_layer = place.rsplit('.').next()?.starts_with(NORMALISATION);
        is_layer.then(|| name.to_owned())
    };
    let names: Vec<String> = tensors.names().filter_map(of_layer).collect();
    let mut found: BTreeMap<&str, Tensor> = BTreeMap::new();
    for name in &names {
        let leaf = name.rsplit('.').next().unwrap_or_default();
        if let Some(tensor) = tensors.remove(name) {
            found.insert(leaf, tensor);
        }
    }
    let (Some(mean), Some(variance)) = (found.get("mean"), found.get("variance")) else {
        return Ok(None);
    };
    let wrong = |key, tensor: &Tensor| MetadataError {
        key,
        expected: "three finite numbers, those of the variance above 0",
        found: format!("a tensor of shape {:?}", tensor.shape()),
    };
    let mean = three(mean).ok_or_else(|| wrong("normalization/mean", mean))?;
    let values = three(variance).filter(|values| values.iter().all(|value| *value > 0.0));
    let variance = values.ok_or_else(|| wrong("normalization/variance", variance))?;
    let is_published = variance
        .iter()
        .zip(IMAGENET_STD)
        .all(|(found, expected)| (found - expected).abs() < 1e-6);
    let std = if is_published {
        IMAGENET_STD
    } else {
        variance.map(|variance| short(variance.sqrt(), |std| is_near(std * std, variance)))
    };
    let mean = mean.map(|mean| short(mean, |rounded| is_near(rounded, mean)));
    Ok(Some((mean, std)))
}

/// Whether two numbers are the same up to the rounding of a 32-bit calculation.
fn is_near(value: f64, stored: f64) -> bool {
    (value - stored).abs() <= 2.0 * f64::from(f32::EPSILON) * stored.abs()
}

/// The number with the fewest decimals that may have been stored.
fn short(value: f64, is_same: impl Fn(f64) -> bool) -> f64 {
    (1..9)
        .map(|digits| {
            let scale = 10_f64.powi(digits);
            (value * scale).round() / scale
        })
        .find(|&rounded| is_same(rounded))
        .unwrap_or(value)
}

fn three(tensor: &Tensor) -> Option<[f64; 3]> {
    if tensor.numel() != 3 {
        return None;
    }
    let values = tensor.floats().ok()?;
    let values =
        <[f64; 3]>::try_from(values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>()).ok()?;
    values.iter().all(|value| value.is_finite()).then_some(values)
}

/// Puts the normalisation into the metadata.
fn record(metadata: &mut BTreeMap<String, String>, (mean, std): Normalisation) -> Result<(), MetadataError> {
    for (key, name, values) in [
        ("mean", "normalization/mean", mean),
        ("std", "normalization/variance", std),
    ] {
        let text = serde_json::json!(values).to_string();
        if let Some(stated) = metadata.insert(key.to_owned(), text.clone()) {
            let stated_values: Option<[f64; 3]> = serde_json::from_str(&stated).ok();
            let agrees = stated_values.is_some_and(|stated| {
                stated
                    .iter()
                    .zip(values)
                    .all(|(stated, found)| (stated - found).abs() <= 1e-6 * stated.abs().max(1e-3))
            });
            if !agrees {
                return Err(MetadataError {
                    key: name,
                    expected: "the values of the metadata in the same file",
                    found: text,
                });
            }
        }
    }
    Ok(())
}

/// Returns the tensors of a `.weights.h5` from those of a network with the names of Keras. Where the normalisation is
/// part of the weights, which it is not in V2 ([`keras_normalisation`]), it gets this mean and standard deviation.
///
/// Public for the other crates of this workspace.
///
/// # Errors
/// [`NamingError`] for an incomplete network.
pub fn keras_weights(tensors: &StateDict, mean: [f64; 3], std: [f64; 3]) -> Result<StateDict, NamingError> {
    let names = number_keras_layers(&tensors.shapes())?;
    let variant = Variant::recognise(&tensors.signature()?);
    let mut numbered: StateDict = names
        .into_iter()
        .filter_map(|(name, numbered)| Some((numbered, tensors.get(&name)?.clone())))
        .collect();
    if variant.and_then(keras_normalisation).is_some() {
        return Ok(numbered);
    }
    let floats = |values: [f64; 3]| -> Result<Tensor, TensorError> {
        Tensor::from_floats([3], values.map(|value| value as f32))
    };
    for (leaf, values) in [("mean", mean), ("variance", std.map(|std| std * std))] {
        if let Ok(tensor) = floats(values) {
            numbered.insert(format!("{NORMALISATION}.{leaf}"), tensor);
        }
    }
    if let Ok(count) = Tensor::from_bytes(DType::I64, [], vec![0; 8]) {
        numbered.insert(format!("{NORMALISATION}.count"), count);
    }
    Ok(numbered)
}
