//! `config.json` of transformers' folders.
//!
//! transformers computes its padding once, from the settings in this file: `depthwise_padding` lists the blocks whose
//! input has an odd side. At that side, it is TensorFlow's SAME padding; at another, or with another list, it is
//! something that no profile describes.

use std::path::Path;

use effnet_architecture::{Config, Preprocessing, Profile, Variant};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{HubFolderError, HubModel, processor, read_object, shown};
use crate::ModelMetadata;

const ADVICE: &str =
    "effnet supports the networks of google/efficientnet-b0 to b7 and their fine-tuned versions";
/// Strides of the stages, which the shapes of tensors do not show.
const STRIDES: [u64; 7] = [1, 2, 2, 2, 1, 2, 1];

/// What a folder of transformers says about its network.
#[derive(Debug, Default)]
pub(crate) struct TransformersFolder {
    pub(crate) preprocessing: Option<Preprocessing>,
    pub(crate) labels: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
struct Stated {
    image_size: Value,
    strides: Vec<u64>,
    depthwise_padding: Vec<usize>,
    hidden_act: String,
    pooling_type: String,
    batch_norm_eps: f64,
    id2label: serde_json::Map<String, Value>,
}

impl Default for Stated {
    fn default() -> Self {
        Self {
            image_size: json!(600),
            strides: STRIDES.to_vec(),
            depthwise_padding: Vec::new(),
            hidden_act: "swish".to_owned(),
            pooling_type: "mean".to_owned(),
            batch_norm_eps: 1e-3,
            id2label: serde_json::Map::new(),
        }
    }
}

impl TransformersFolder {
    /// Reads the configuration in a folder with weights of this variant. Empty if there is none.
    ///
    /// # Errors
    /// [`HubFolderError`] for a network that computes something else than the profile `tf`, and for preprocessing that
    /// cannot be represented.
    pub(crate) fn read(folder: &Path, variant: Variant) -> Result<Self, HubFolderError> {
        let preprocessing = processor::read(folder)?;
        let path = folder.join("config.json");
        let is_own = |stated: &serde_json::Map<String, Value>| {
            stated.get("model_type") == Some(&json!("efficientnet"))
        };
        let Some(stated) = read_object(&path)?.filter(is_own) else {
            return Ok(Self {
                preprocessing,
                labels: None,
            });
        };
        let stated = stated.into_iter().filter(|(_, value)| !value.is_null()).collect();
        let stated: Stated =
            serde_json::from_value(Value::Object(stated)).map_err(|error| HubFolderError::Invalid {
                path: path.clone(),
                reason: error.to_string(),
            })?;
        let side = match &preprocessing {
            Some(preprocessing) => Some(preprocessing.image_size),
            None => side(&stated.image_size),
        };
        stated
            .check(variant, side)
            .map_err(|(key, found, expected)| HubFolderError::Unsupported {
                path,
                key,
                found: shown(&found),
                expected,
                advice: ADVICE,
            })?;
        Ok(Self {
            preprocessing,
            labels: labels(&stated.id2label),
        })
    }
}

impl TransformersFolder {
    /// Fills in preprocessing and class names that the metadata does not have.
    pub(crate) fn complete(self, metadata: &mut ModelMetadata, num_classes: Option<usize>) {
        // Take all of it from one source: a mixture of two would match neither.
        if metadata.image_size.is_none()
            && metadata.mean.is_none()
            && let Some(preprocessing) = &self.preprocessing
        {
            *metadata = metadata.clone().with_preprocessing(preprocessing);
        }
        let fits = |labels: &Vec<String>| Some(labels.len()) == num_classes;
        if metadata.labels.is_none() {
            metadata.labels = self.labels.filter(fits);
        }
    }
}

type Difference = (&'static str, Value, String);

impl Stated {
    fn check(&self, variant: Variant, side: Option<usize>) -> Result<(), Difference> {
        let epsilon = Profile::Tf.batch_norm_epsilon();
        if (self.batch_norm_eps - epsilon).abs() > 1e-3 * epsilon {
            let found = json!(self.batch_norm_eps);
            return Err(("batch_norm_eps", found, epsilon.to_string()));
        }
        if !matches!(self.hidden_act.as_str(), "swish" | "silu") {
            return Err(("hidden_act", json!(self.hidden_act), "swish".to_owned()));
        }
        if self.pooling_type != "mean" {
            return Err(("pooling_type", json!(self.pooling_type), "mean".to_owned()));
        }
        if self.strides != STRIDES {
            return Err(("strides", json!(self.strides), format!("{STRIDES:?}")));
        }
        let Some(side) = side else {
            return Err((
                "image_size",
                self.image_size.clone(),
                "one side of a square".to_owned(),
            ));
        };
        let config = Config::new(variant);
        let Some(expected) = square_padding(&config, side) else {
            return Err(("image_size", json!(side), "an even number of pixels".to_owned()));
        };
        let strided = |index: &usize| config.blocks().get(*index).is_some_and(|block| block.stride == 2);
        let mut found: Vec<usize> = self.depthwise_padding.iter().copied().filter(strided).collect();
        found.sort_unstable();
        found.dedup();
        if found != expected {
            let expected = format!("{expected:?} for images of {side} pixels");
            return Err(("depthwise_padding", json!(self.depthwise_padding), expected));
        }
        Ok(())
    }
}

/// The side of `image_size`: a number, or a list of two equal ones.
fn side(size: &Value) -> Option<usize> {
    let size = match size.as_array().map(Vec::as_slice) {
        Some([height, width]) if height == width => height,
        Some(_) => return None,
        None => size,
    };
    usize::try_from(size.as_u64()?).ok().filter(|size| *size > 0)
}

/// The numbers of the blocks with stride 2 whose SAME padding is equal on both sides, for square images of this size.
/// `None` for an odd size: transformers always pads the stem at the right and at the bottom only.
fn square_padding(config: &Config, side: usize) -> Option<Vec<usize>> {
    if !side.is_multiple_of(2) {
        return None;
    }
    let mut side = side / 2;
    let mut square = Vec::new();
    for (index, block) in config.blocks().iter().enumerate() {
        if block.stride == 2 {
            if side % 2 == 1 {
                square.push(index);
            }
            side = side.div_ceil(2);
        }
    }
    Some(square)
}

/// Class names by index; `None` if they are the placeholders of a network without names, or have gaps.
fn labels(by_index: &serde_json::Map<String, Value>) -> Option<Vec<String>> {
    let label = |index: usize| Some(by_index.get(&index.to_string())?.as_str()?.to_owned());
    let labels: Vec<String> = (0..by_index.len()).map(label).collect::<Option<_>>()?;
    let is_placeholder = |(index, label): (usize, &String)| *label == format!("LABEL_{index}");
    let is_named = !labels.is_empty() && !labels.iter().enumerate().all(is_placeholder);
    is_named.then_some(labels)
}

/// Returns the configuration from which transformers builds the network.
pub(super) fn config(model: &HubModel) -> Result<Value, HubFolderError> {
    let refuse = |reason: String| HubFolderError::Inexpressible {
        library: "transformers",
        reason,
    };
    if model.profile != Profile::Tf {
        return Err(refuse(format!(
            "its EfficientNet pads as TensorFlow does (profile tf), and these weights need profile {}; pass --to timm",
            model.profile
        )));
    }
    let config = model.config();
    let side = model.preprocessing.image_size;
    let padding = square_padding(&config, side).ok_or_else(|| {
        refuse(format!(
            "its EfficientNet pads images of an even number of pixels, and these weights expect {side}; pass --to timm"
        ))
    })?;
    let label = |index: usize| match &model.labels {
        Some(labels) => labels.get(index).cloned().unwrap_or_default(),
        None => format!("LABEL_{index}"),
    };
    let labels: Vec<String> = (0..model.num_classes).map(label).collect();
    let by_index: serde_json::Map<String, Value> = labels
        .iter()
        .enumerate()
        .map(|(index, label)| (index.to_string(), json!(label)))
        .collect();
    let by_label: serde_json::Map<String, Value> = labels
        .iter()
        .enumerate()
        .map(|(index, label)| (label.clone(), json!(index)))
        .collect();
    Ok(json!({
        "architectures": ["EfficientNetForImageClassification"],
        "model_type": "efficientnet",
        "num_channels": model.in_channels,
        "image_size": side,
        "width_coefficient": config.width_coefficient,
        "depth_coefficient": config.depth_coefficient,
        "depth_divisor": config.depth_divisor,
        "depthwise_padding": padding,
        "hidden_dim": config.head_channels(),
        "hidden_act": "swish",
        "pooling_type": "mean",
        "batch_norm_eps": model.profile.batch_norm_epsilon(),
        "batch_norm_momentum": 0.99,
        "dropout_rate": config.dropout_rate,
        "drop_connect_rate": config.drop_connect_rate,
        "id2label": by_index,
        "label2id": by_label,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `depthwise_padding` of google/efficientnet-b0 to b7.
    #[test]
    fn blocks_with_square_padding_are_those_of_the_published_folders() {
        for (variant, expected) in [
            (Variant::B0, &[][..]),
            (Variant::B1, &[16]),
            (Variant::B2, &[5, 8, 16]),
            (Variant::B3, &[5, 18]),
            (Variant::B4, &[6]),
            (Variant::B5, &[13, 27]),
            (Variant::B6, &[31]),
            (Variant::B7, &[18]),
        ] {
            let config = Config::new(variant);
            assert_eq!(
                square_padding(&config, variant.image_size()).as_deref(),
                Some(expected),
                "{variant}"
            );
        }
    }

    #[test]
    fn placeholders_and_gaps_are_no_names() {
        let map = |value: Value| value.as_object().cloned().unwrap_or_default();
        assert_eq!(labels(&map(json!({"0": "LABEL_0", "1": "LABEL_1"}))), None);
        assert_eq!(labels(&map(json!({"0": "cat", "2": "dog"}))), None);
        let named = labels(&map(json!({"1": "dog", "0": "cat"})));
        assert_eq!(named, Some(vec!["cat".to_owned(), "dog".to_owned()]));
    }
}
