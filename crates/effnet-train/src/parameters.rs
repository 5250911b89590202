//! Parameter groups, which determine which parameters are trained and with which learning rates and weight decay.

use effnet_core::EfficientNet;
use tch::Tensor;

use crate::Error;

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

/// How the learning rate depends on the depth of a layer. The stem has depth 0, and block `i` has depth `i + 1`;
/// the head convolution follows, and the classifier is last.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
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

/// The part of the network to which a parameter belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    Stem,
    Block(usize),
    Head,
    Classifier,
}

impl Layer {
    /// Returns the layer of a parameter name such as `_blocks.3._bn0.weight`.
    fn of(name: &str) -> Self {
        let mut parts = name.split('.');
        match parts.next() {
            Some("_blocks") => Self::Block(parts.next().and_then(|index| index.parse().ok()).unwrap_or(0)),
            Some("_conv_head" | "_bn1") => Self::Head,
            Some("_fc") => Self::Classifier,
            _ => Self::Stem,
        }
    }

    fn depth(self, blocks: usize) -> usize {
        match self {
            Self::Stem => 0,
            Self::Block(index) => index + 1,
            Self::Head => blocks + 1,
            Self::Classifier => blocks + 2,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Stem => "stem".to_owned(),
            Self::Block(index) => format!("block {index}"),
            Self::Head => "head convolution".to_owned(),
            Self::Classifier => "classifier".to_owned(),
        }
    }
}

/// Returns whether a parameter, such as `_bn0.weight`, belongs to batch normalisation.
fn is_norm(name: &str) -> bool {
    name.rsplit('.')
        .nth(1)
        .is_some_and(|layer| layer.starts_with("_bn"))
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
    pub fn apply(&self, network: &EfficientNet) -> Result<Vec<ParameterGroup>, Error> {
        self.validate()?;
        let blocks = network.config().blocks().len();
        let mut groups: Vec<ParameterGroup> = Vec::new();
        for (name, tensor) in network.named_tensors() {
            if is_statistic(name) {
                continue;
            }
            let layer = Layer::of(name);
            let trained = self.trains(name, layer);
            let tensor = tensor.f_set_requires_grad(trained)?;
            if !trained {
                continue;
            }
            let weight_decay = self.decay(name);
            let group = self.group_name(layer, weight_decay);
            let place = groups.iter().position(|other| other.name == group);
            let place = place.unwrap_or_else(|| {
                let rate_scale = self.rate_scale(layer, blocks);
                groups.push(ParameterGroup {
                    name: group,
                    parameters: Vec::new(),
                    rate_scale,
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

    fn trains(&self, name: &str, layer: Layer) -> bool {
        match self.freeze {
            Freeze::Nothing => true,
            Freeze::Convolutions => layer == Layer::Classifier || is_norm(name),
            Freeze::Features => layer == Layer::Classifier,
        }
    }

    fn decay(&self, name: &str) -> f64 {
        let exempt = name.rsplit('.').next() == Some("bias") || is_norm(name);
        if exempt && !self.decay_norms_and_biases {
            0.0
        } else {
            self.weight_decay
        }
    }

    /// Returns the name of a layer's group. Layers with equal learning rates share a group.
    fn group_name(&self, layer: Layer, weight_decay: f64) -> String {
        let place = match (layer, self.rates) {
            (Layer::Classifier, _) => layer.name(),
            (_, LayerRates::Uniform) => "body".to_owned(),
            (other, _) => other.name(),
        };
        if weight_decay == 0.0 {
            place + ", no decay"
        } else {
            place
        }
    }

    fn rate_scale(&self, layer: Layer, blocks: usize) -> f64 {
        let top = Layer::Classifier.depth(blocks);
        let below = (top - layer.depth(blocks)) as f64;
        let scale = match self.rates {
            LayerRates::Uniform => 1.0,
            LayerRates::Decay(factor) => factor.powf(below),
            LayerRates::From(factor) => factor.powf(below / top as f64),
        };
        if layer == Layer::Classifier {
            scale * self.head_rate
        } else {
            scale
        }
    }
}

/// Returns whether a tensor's name is that of a running statistic of batch normalisation.
pub(crate) fn is_statistic(name: &str) -> bool {
    name.ends_with(".running_mean")
        || name.ends_with(".running_var")
        || name.ends_with(".num_batches_tracked")
}
