//! Parameter groups, which determine which parameters are trained and with which learning rates and weight decay.

use std::collections::HashSet;

use tch::Tensor;

use crate::{Error, Network};

/// Parameters that share a learning rate and a weight decay.
#[derive(Debug)]
pub struct ParameterGroup {
    /// A readable name, such as `stem`, `block 3` or `classifier`, with `, no decay` appended if there is no
    /// weight decay.
    pub name: String,
    /// The parameters' names below the network's path, and the network's tensors.
    pub parameters: Vec<(String, Tensor)>,
    /// Factor by which the learning rate is multiplied.
    pub rate_scale: f64,
    /// Weight decay; 0 means none.
    pub weight_decay: f64,
}

/// How the learning rate depends on the depth of a layer in [`Network::layers`]. Of an EfficientNet, the stem has depth
/// 0, and block `i` has depth `i + 1`; the head convolution follows, and the classifier is last.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum LayerRates {
    /// The same for all layers.
    #[default]
    Uniform,
    /// Layer-wise decay: each layer's rate is the rate of the layer above it times this factor, in `(0, 1]`
    /// (timm's `layer_decay`).
    Decay(f64),
    /// Discriminative rates: the rates are multiplied by factors that grow geometrically from this factor, in `(0,
    /// 1]`, at the stem to 1 at the classifier (fastai's `slice(rate * factor, rate)`).
    From(f64),
}

/// Which layers are frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Freeze {
    /// No layers are frozen: everything is trained.
    #[default]
    Nothing,
    /// The convolutions below the classifier are frozen. Batch normalisation is still trained and updates its
    /// statistics, as in fastai when a new head is trained.
    Convolutions,
    /// Everything below the classifier is frozen (linear probing). The frozen layers run in evaluation mode,
    /// without drop connect.
    Features,
}

/// How the parameters of a network are split into [`ParameterGroup`]s.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ParamGroupOptions {
    /// Weight decay for the convolutions and the classifier's weight matrix.
    pub weight_decay: f64,
    /// Whether weight decay also applies to biases and batch normalisation, which it does not in the paper or in
    /// timm.
    pub decay_norms_and_biases: bool,
    /// The learning rates below the classifier.
    pub rates: LayerRates,
    /// Factor by which the classifier's learning rate is multiplied.
    pub head_rate: f64,
    /// The frozen layers.
    pub freeze: Freeze,
}

impl Default for ParamGroupOptions {
    /// Returns the options of the paper: a weight decay of 1e-5 for weights, and one learning rate for all layers.
    fn default() -> Self {
        Self {
            weight_decay: 1e-5,
            decay_norms_and_biases: false,
            rates: LayerRates::Uniform,
            head_rate: 1.0,
            freeze: Freeze::Nothing,
        }
    }
}

impl ParamGroupOptions {
    /// Sets [`weight_decay`](Self::weight_decay).
    #[must_use]
    pub fn with_weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }

    /// Sets [`decay_norms_and_biases`](Self::decay_norms_and_biases).
    #[must_use]
    pub fn with_decay_norms_and_biases(mut self, decay_norms_and_biases: bool) -> Self {
        self.decay_norms_and_biases = decay_norms_and_biases;
        self
    }

    /// Sets [`rates`](Self::rates).
    #[must_use]
    pub fn with_rates(mut self, rates: LayerRates) -> Self {
        self.rates = rates;
        self
    }

    /// Sets [`head_rate`](Self::head_rate).
    #[must_use]
    pub fn with_head_rate(mut self, head_rate: f64) -> Self {
        self.head_rate = head_rate;
        self
    }

    /// Sets [`freeze`](Self::freeze).
    #[must_use]
    pub fn with_freeze(mut self, freeze: Freeze) -> Self {
        self.freeze = freeze;
        self
    }

    /// Splits a network's parameters into groups, and sets `requires_grad` for those in a group and only for them.
    ///
    /// # Errors
    /// [`Error::InvalidOption`], [`Error::Torch`].
    pub fn apply(&self, network: &impl Network) -> Result<Vec<ParameterGroup>, Error> {
        self.validate()?;
        let layers = network.layers();
        let head = layers.len().saturating_sub(1);
        let norms = norms(network);
        let mut groups: Vec<ParameterGroup> = Vec::new();
        for (name, tensor) in network.named_tensors() {
            if network.is_buffer(name) {
                continue;
            }
            let depth = network.layer_of(name).min(head);
            let is_norm = name
                .rsplit_once('.')
                .is_some_and(|(layer, _)| norms.contains(layer));
            let trained = match self.freeze {
                Freeze::Nothing => true,
                Freeze::Convolutions => depth == head || is_norm,
                Freeze::Features => depth == head,
            };
            let tensor = tensor.f_set_requires_grad(trained)?;
            if !trained {
                continue;
            }
            let exempt = is_norm || name.rsplit('.').next() == Some("bias");
            let weight_decay = if exempt && !self.decay_norms_and_biases {
                0.0
            } else {
                self.weight_decay
            };
            let layer = layers.get(depth).map_or("", String::as_str);
            let group = self.group_name(layer, depth == head, weight_decay);
            let place = groups.iter().position(|other| other.name == group);
            let place = place.unwrap_or_else(|| {
                groups.push(ParameterGroup {
                    name: group,
                    parameters: Vec::new(),
                    rate_scale: self.rate_scale(depth, head),
                    weight_decay,
                });
                groups.len() - 1
            });
            groups[place].parameters.push((name.to_owned(), tensor));
        }
        Ok(groups)
    }

    fn validate(&self) -> Result<(), Error> {
        let factor = match self.rates {
            LayerRates::Uniform => 1.0,
            LayerRates::Decay(factor) | LayerRates::From(factor) => factor,
        };
        let checks = [
            (
                "weight_decay",
                self.weight_decay,
                self.weight_decay >= 0.0,
                "0 or more",
            ),
            ("head_rate", self.head_rate, self.head_rate > 0.0, "above 0"),
            (
                "the learning-rate factor of the layers",
                factor,
                factor > 0.0 && factor <= 1.0,
                "above 0, at most 1",
            ),
        ];
        for (option, value, holds, expected) in checks {
            if !holds || !value.is_finite() {
                return Err(Error::option(option, expected, &value));
            }
        }
        Ok(())
    }

    /// Returns the name of a layer's group. Layers with equal learning rates share a group.
    fn group_name(&self, layer: &str, is_head: bool, weight_decay: f64) -> String {
        let place = match self.rates {
            LayerRates::Uniform if !is_head => "body",
            _ => layer,
        };
        if weight_decay == 0.0 {
            format!("{place}, no decay")
        } else {
            place.to_owned()
        }
    }

    /// Returns the factor for the learning rate of the layer at `depth`; the head is at depth `head`.
    fn rate_scale(&self, depth: usize, head: usize) -> f64 {
        let below = (head - depth) as f64;
        let scale = match self.rates {
            LayerRates::Uniform => 1.0,
            LayerRates::Decay(factor) => factor.powf(below),
            LayerRates::From(factor) => factor.powf(below / head.max(1) as f64),
        };
        if depth == head {
            scale * self.head_rate
        } else {
            scale
        }
    }
}

/// Returns the names of the layers of batch normalisation: those with running statistics.
fn norms(network: &impl Network) -> HashSet<&str> {
    let names = network.named_tensors().map(|(name, _)| name);
    names
        .filter_map(|name| name.strip_suffix(".running_mean"))
        .collect()
}
