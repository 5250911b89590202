//! Separates the tensors of one network from the rest of a checkpoint.
//!
//! Training programs save counters, metrics and loss weights with the network, store its classifier outside
//! it, or train a single logit for two classes. This module sorts all of this out, so that strict loading
//! checks the network alone.

use effnet_architecture::{CLASSIFIER, Scheme};
use effnet_checkpoint::{Checkpoint, DType, StateDict, Tensor, TensorError};

use crate::{EfficientNetNames, LoadError};

/// First components of the names of tensors that training adds to a state_dict and inference does not use.
const TRAINING: [&str; 14] = [
    "n_averaged",
    "num_updates",
    "ema_decay",
    "criterion",
    "criterions",
    "loss",
    "losses",
    "metric",
    "metrics",
    "class_weight",
    "class_weights",
    "pos_weight",
    "global_step",
    "step",
];
/// Prefixes of such components, as in `loss_fn`, `train_acc`, `val_f1`.
const TRAINING_STARTS: [&str; 7] = [
    "loss_",
    "train_",
    "val_",
    "valid_",
    "test_",
    "metric_",
    "criterion_",
];
const TRAINING_ENDS: [&str; 6] = ["_loss", "_criterion", "_metric", "_metrics", "_acc", "_accuracy"];
/// Last components of the names of an input normalisation's tensors.
const NORMALISATION: [&str; 6] = [
    "mean",
    "std",
    "pixel_mean",
    "pixel_std",
    "image_mean",
    "image_std",
];

/// The tensors of one network under their names in the file, and the names of the tensors that were set
/// aside.
#[derive(Debug)]
pub(crate) struct NetworkTensors {
    pub(crate) tensors: StateDict,
    /// Names of buffers that training uses and inference does not.
    pub(crate) training: Vec<String>,
    /// Names of the tensors of an input normalisation, which would have to be applied to images.
    pub(crate) normalisation: Vec<String>,
    /// Name of the classifier, if it was found outside the network.
    pub(crate) classifier: Option<String>,
    /// Name of the classifier, if the file has no bias for it and zeros were added.
    pub(crate) without_bias: Option<String>,
}

impl NetworkTensors {
    /// Finds the network in a checkpoint.
    pub(crate) fn of(checkpoint: &Checkpoint) -> Self {
        let mut found = Self {
            tensors: StateDict::new(),
            training: Vec::new(),
            normalisation: Vec::new(),
            classifier: None,
            without_bias: None,
        };
        for (name, tensor) in checkpoint.state_dict() {
            if is_training(name) {
                found.training.push(name.to_owned());
            } else if is_normalisation(name, tensor) {
                found.normalisation.push(name.to_owned());
            } else {
                found.tensors.insert(name, tensor.clone());
            }
        }
        for (name, tensor) in checkpoint.aside() {
            if is_normalisation(name, tensor) {
                found.normalisation.push(name.to_owned());
            }
        }
        found.classifier = found.adopt_classifier(checkpoint.aside());
        found.without_bias = found.add_bias();
        found
    }

    /// Adds a bias of zeros to a classifier without one (`nn.Linear(..., bias=False)`). Returns the classifier's name.
    fn add_bias(&mut self) -> Option<String> {
        let canonical = self.tensors.to_canonical().ok()?;
        let has = |leaf: &str| canonical.get(&format!("{CLASSIFIER}{leaf}")).is_some();
        if !has("weight") || has("bias") {
            return None;
        }
        // The classifier is the only linear layer of a network.
        let is_linear =
            |(name, tensor): &(&str, &Tensor)| name.ends_with(".weight") && tensor.shape().len() == 2;
        let (name, weight) = self.tensors.iter().find(is_linear)?;
        let place = name.strip_suffix(".weight")?.to_owned();
        let classes = *weight.shape().first()?;
        let zeros = vec![0; classes.checked_mul(DType::F32.size())?];
        let bias = Tensor::from_bytes(DType::F32, vec![classes], zeros).ok()?;
        self.tensors.insert(format!("{place}.bias"), bias);
        Some(place)
    }

    /// If the network has no classifier and exactly one linear layer is outside it, takes that layer as the
    /// classifier, as for a timm backbone (`num_classes=0`) with a custom classifier.
    fn adopt_classifier(&mut self, aside: &StateDict) -> Option<String> {
        let signature = self.tensors.signature().ok()?;
        let canonical = self.tensors.to_canonical().ok()?;
        if canonical.names().any(|name| name.starts_with(CLASSIFIER)) {
            return None;
        }
        let mut layers = aside
            .iter()
            .filter(|(name, tensor)| !is_training(name) && !is_normalisation(name, tensor));
        let (weight, bias) = (layers.next()?, layers.next());
        let (weight, bias) = match bias {
            Some(bias) if bias.0.ends_with(".weight") => (bias, Some(weight)),
            bias => (weight, bias),
        };
        let place = weight.0.strip_suffix(".weight")?;
        let fits = weight.1.shape().len() == 2 && weight.1.shape()[1] == signature.head_channels;
        let belongs = bias.is_none_or(|(name, _)| name.strip_suffix(".bias") == Some(place));
        if !fits || !belongs || layers.next().is_some() {
            return None;
        }
        self.tensors.insert("fc.weight", weight.1.clone());
        if let Some((_, bias)) = bias {
            self.tensors.insert("fc.bias", bias.clone());
        }
        Some(place.to_owned())
    }
}

/// Whether a tensor is used only in training. The names of a network's tensors never begin like this.
fn is_training(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    TRAINING.contains(&first.as_str())
        || TRAINING_STARTS.iter().any(|start| first.starts_with(start))
        || TRAINING_ENDS.iter().any(|end| first.ends_with(end))
}

fn is_normalisation(name: &str, tensor: &Tensor) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let outside = !name.starts_with("blocks.") && !name.starts_with("features.") && !name.starts_with('_');
    outside && tensor.numel() <= 4 && NORMALISATION.contains(&last)
}

/// Returns the names of the tensors in a head that is more than one linear layer; empty otherwise.
pub(crate) fn head_layers(tensors: &StateDict) -> Vec<String> {
    let Ok(canonical) = tensors.to_canonical() else {
        return Vec::new();
    };
    let own = [format!("{CLASSIFIER}weight"), format!("{CLASSIFIER}bias")];
    let extra = canonical
        .names()
        .any(|name| name.starts_with(CLASSIFIER) && !own.iter().any(|own| own == name));
    if !extra {
        return Vec::new();
    }
    canonical
        .names()
        .filter_map(|name| name.strip_prefix(CLASSIFIER))
        .map(str::to_owned)
        .collect()
}

/// Converts a network with a single logit `z` to one with two classes: the logits `[0, z]`, whose softmax
/// gives class 1 the probability `sigmoid(z)`.
pub(crate) fn two_classes(tensors: &StateDict) -> Result<StateDict, LoadError> {
    let scheme = Scheme::of(&tensors.shapes())?;
    let canonical = tensors.to_scheme(scheme, Scheme::Lukemelas, None)?;
    let parts = canonical.into_iter().map(|(name, tensor)| {
        let tensor = if name == format!("{CLASSIFIER}weight") || name == format!("{CLASSIFIER}bias") {
            zero_row_first(&tensor)?
        } else {
            tensor
        };
        Ok((name, tensor))
    });
    parts.collect()
}

/// Scales the classifier of a network for regression such that its outputs are values instead of the number of standard
/// deviations from their mean.
pub(crate) fn scaled_outputs(tensors: &StateDict, mean: &[f64], std: &[f64]) -> Result<StateDict, LoadError> {
    let scheme = Scheme::of(&tensors.shapes())?;
    let canonical = tensors.to_scheme(scheme, Scheme::Lukemelas, None)?;
    let parts = canonical.into_iter().map(|(name, tensor)| {
        let offsets = match name.strip_prefix(CLASSIFIER) {
            Some("weight") => None,
            Some("bias") => Some(mean),
            _ => return Ok((name, tensor)),
        };
        let scaled = scaled_rows(&tensor, std, offsets)?;
        Ok((name, scaled))
    });
    parts.collect()
}

fn scaled_rows(tensor: &Tensor, scales: &[f64], offsets: Option<&[f64]>) -> Result<Tensor, TensorError> {
    let values = tensor.floats()?;
    let width = values.len() / scales.len().max(1);
    let scaled = values.iter().enumerate().map(|(index, value)| {
        let row = index / width.max(1);
        let offset = offsets.map_or(0.0, |offsets| offsets[row]);
        (f64::from(*value) * scales[row] + offset) as f32
    });
    Tensor::from_floats(tensor.shape(), scaled)
}

fn zero_row_first(tensor: &Tensor) -> Result<Tensor, TensorError> {
    let values = tensor.floats()?;
    let zeros = std::iter::repeat_n(0.0f32, values.len());
    let mut shape = tensor.shape().to_vec();
    if let Some(rows) = shape.first_mut() {
        *rows = 2;
    }
    Tensor::from_floats(shape, zeros.chain(values.iter().copied()))
}
