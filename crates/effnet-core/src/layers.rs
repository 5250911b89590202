//! The three kinds of layer that make up a network, registered in a variable store under PyTorch's names.

use std::sync::Arc;

use libtorch_ext::training::{self, BatchNormGroup};
use tch::{Kind, TchError, Tensor, nn};

use crate::init::Init;
use crate::{Activation, Config, Padding};

/// The purpose of a forward pass, which decides which statistics batch normalisation uses.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mode<'a> {
    /// Inference, with the running statistics.
    Evaluate,
    /// Training, with the statistics of the batch, or of the batches of all processes in a group.
    Train(Option<&'a Arc<dyn BatchNormGroup>>),
}

impl Mode<'_> {
    pub(crate) fn is_train(self) -> bool {
        matches!(self, Self::Train(_))
    }
}

/// Creates the variables of one network, in the order of PyTorch's `state_dict()`.
pub(crate) struct Builder {
    pub(crate) init: Init,
    /// Every tensor created so far, with its name below the network's path.
    pub(crate) tensors: Vec<(String, Tensor)>,
}

impl Builder {
    pub(crate) fn new(init: Init) -> Self {
        Self {
            init,
            tensors: Vec::new(),
        }
    }

    /// Adds a tensor to the store as `{path}.{layer}.{name}` and remembers it.
    fn add(&mut self, path: &Place<'_>, name: &str, tensor: Tensor, trainable: bool) -> Tensor {
        let tensor = path.path.add(name, tensor, trainable);
        self.tensors
            .push((format!("{}.{name}", path.name), tensor.shallow_clone()));
        tensor
    }
}

/// A position in the variable store, with its name below the network's path.
#[derive(Clone)]
pub(crate) struct Place<'a> {
    path: nn::Path<'a>,
    name: String,
}

impl<'a> Place<'a> {
    pub(crate) fn root(path: &nn::Path<'a>) -> Self {
        Self {
            path: path.clone(),
            name: String::new(),
        }
    }

    pub(crate) fn sub(&self, part: impl std::fmt::Display) -> Self {
        let part = part.to_string();
        let name = if self.name.is_empty() {
            part.clone()
        } else {
            format!("{}.{part}", self.name)
        };
        Self {
            path: self.path.sub(part),
            name,
        }
    }
}

/// The shape of a convolution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvShape {
    pub(crate) input: usize,
    pub(crate) output: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) groups: usize,
    pub(crate) bias: bool,
}

impl ConvShape {
    pub(crate) fn pointwise(input: usize, output: usize) -> Self {
        Self {
            input,
            output,
            kernel: 1,
            stride: 1,
            groups: 1,
            bias: false,
        }
    }
}

/// A two-dimensional convolution with one of the paddings of [`Padding`].
#[derive(Debug)]
pub(crate) struct Conv {
    weight: Tensor,
    bias: Option<Tensor>,
    kernel: usize,
    stride: usize,
    groups: usize,
    padding: Padding,
    /// The input size for which static padding is computed.
    designed_for: [usize; 2],
}

impl Conv {
    pub(crate) fn new(
        builder: &mut Builder,
        place: &Place<'_>,
        shape: ConvShape,
        padding: Padding,
        designed_for: [usize; 2],
    ) -> Result<Self, TchError> {
        let dims = [
            shape.output,
            shape.input / shape.groups,
            shape.kernel,
            shape.kernel,
        ];
        let weight = builder.init.convolution(dims, shape.groups, &place.path)?;
        let weight = builder.add(place, "weight", weight, true);
        let bias = if shape.bias {
            let fan_in = dims[1] * shape.kernel * shape.kernel;
            let bias = builder.init.bias(shape.output, fan_in, &place.path)?;
            Some(builder.add(place, "bias", bias, true))
        } else {
            None
        };
        let ConvShape {
            kernel,
            stride,
            groups,
            ..
        } = shape;
        Ok(Self {
            weight,
            bias,
            kernel,
            stride,
            groups,
            padding,
            designed_for,
        })
    }

    pub(crate) fn forward(&self, input: &Tensor) -> Result<Tensor, TchError> {
        let [rows, columns] = self.sides(input)?;
        let symmetric = |sides: [i64; 2]| sides[0] == sides[1];
        if symmetric(rows) && symmetric(columns) {
            return self.convolve(input, [rows[0], columns[0]]);
        }
        let padded = input.f_constant_pad_nd([columns[0], columns[1], rows[0], rows[1]])?;
        self.convolve(&padded, [0, 0])
    }

    /// Computes a depthwise convolution in training, of `activation(norm(input))` if there is a norm.
    pub(crate) fn train_depthwise(
        &self,
        input: &Tensor,
        norm: Option<&BatchNorm>,
        group: Option<&Arc<dyn BatchNormGroup>>,
    ) -> Result<Tensor, TchError> {
        let [[top, bottom], [left, right]] = self.sides(input)?;
        let norm = norm
            .map(|norm| Ok::<_, TchError>((norm.counted(group)?, norm.activation)))
            .transpose()?;
        let padding = [top, bottom, left, right];
        Ok(training::depthwise(
            input,
            norm.as_ref().map(|(norm, activation)| (norm, *activation)),
            &self.weight,
            self.stride as i64,
            padding,
        )?)
    }

    /// Returns the weight and the bias, if the convolution has a bias.
    pub(crate) fn parameters(&self) -> Option<[&Tensor; 2]> {
        Some([&self.weight, self.bias.as_ref()?])
    }

    /// Returns the pixels to add before and after the rows, and before and after the columns.
    fn sides(&self, input: &Tensor) -> Result<[[i64; 2]; 2], TchError> {
        let (_, _, height, width) = input.size4()?;
        let size = [height as usize, width as usize];
        let sides = self
            .padding
            .sides(self.kernel, self.stride, size, self.designed_for);
        Ok(sides.map(|pair| pair.map(|side| side as i64)))
    }

    fn convolve(&self, input: &Tensor, padding: [i64; 2]) -> Result<Tensor, TchError> {
        let stride = [self.stride as i64; 2];
        input.f_conv2d(
            &self.weight,
            self.bias.as_ref(),
            stride,
            padding,
            [1, 1],
            self.groups as i64,
        )
    }
}

/// Batch normalisation over the channels of `[N, C, H, W]`.
///
/// tch's own batch normalisation does not have `num_batches_tracked`, which strict loading in Python requires.
#[derive(Debug)]
pub(crate) struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    num_batches_tracked: Tensor,
    momentum: f64,
    epsilon: f64,
    /// The activation that [`forward_activated`](Self::forward_activated) applies.
    pub(crate) activation: training::Activation,
}

impl BatchNorm {
    pub(crate) fn new(
        builder: &mut Builder,
        place: &Place<'_>,
        channels: usize,
        config: &Config,
    ) -> Result<Self, TchError> {
        let dims = [channels as i64];
        let filled = |builder: &Builder, value| builder.init.constant(value, &dims, &place.path);
        let weight = filled(builder, 1.0)?;
        let weight = builder.add(place, "weight", weight, true);
        let bias = filled(builder, 0.0)?;
        let bias = builder.add(place, "bias", bias, true);
        let mean = filled(builder, 0.0)?;
        let running_mean = builder.add(place, "running_mean", mean, false);
        let variance = filled(builder, 1.0)?;
        let running_var = builder.add(place, "running_var", variance, false);
        let counter = Tensor::f_zeros([0i64; 0], (Kind::Int64, place.path.device()))?;
        let num_batches_tracked = builder.add(place, "num_batches_tracked", counter, false);
        Ok(Self {
            weight,
            bias,
            running_mean,
            running_var,
            num_batches_tracked,
            momentum: config.batch_norm_momentum,
            epsilon: config.batch_norm_epsilon,
            activation: match config.family().activation() {
                Activation::Relu6 => training::Activation::Relu6,
                _ => training::Activation::Silu,
            },
        })
    }

    pub(crate) fn forward(&self, input: &Tensor, mode: Mode<'_>) -> Result<Tensor, TchError> {
        self.activate(input, mode, None)
    }

    /// Like [`forward`](Self::forward), followed by the network's activation.
    pub(crate) fn forward_activated(&self, input: &Tensor, mode: Mode<'_>) -> Result<Tensor, TchError> {
        self.activate(input, mode, Some(self.activation))
    }

    fn activate(
        &self,
        input: &Tensor,
        mode: Mode<'_>,
        activation: Option<training::Activation>,
    ) -> Result<Tensor, TchError> {
        let output = match mode {
            Mode::Train(group) if self.is_supported(input, group) => {
                return Ok(training::norm_activation(
                    input,
                    &self.counted(group)?,
                    activation,
                )?);
            }
            Mode::Train(group @ Some(_)) => training::sync_batch_norm(input, &self.counted(group)?)?,
            Mode::Train(None) | Mode::Evaluate => self.normalize(input, mode.is_train())?,
        };
        match activation {
            Some(training::Activation::Silu) => output.f_silu(),
            Some(training::Activation::Relu6) => output.f_relu6(),
            None => Ok(output),
        }
    }

    /// Normalises with libtorch's own operator.
    fn normalize(&self, input: &Tensor, train: bool) -> Result<Tensor, TchError> {
        if train {
            self.count()?;
        }
        Tensor::f_batch_norm(
            input,
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.running_mean),
            Some(&self.running_var),
            train,
            self.momentum,
            self.epsilon,
            true,
        )
    }

    /// Returns whether the training kernels support inputs like `input` in this layer.
    pub(crate) fn is_supported(&self, input: &Tensor, group: Option<&Arc<dyn BatchNormGroup>>) -> bool {
        training::is_supported(input, &self.layer(group))
    }

    fn count(&self) -> Result<(), TchError> {
        // The clone is another handle to the same tensor, so the addition changes the tensor in the store.
        self.num_batches_tracked
            .shallow_clone()
            .f_add_scalar_(1i64)
            .map(drop)
    }

    /// Returns the arguments of the training kernels for this layer, and increments `num_batches_tracked`.
    pub(crate) fn counted<'a>(
        &'a self,
        group: Option<&'a Arc<dyn BatchNormGroup>>,
    ) -> Result<training::BatchNorm<'a>, TchError> {
        self.count()?;
        Ok(self.layer(group))
    }

    fn layer<'a>(&'a self, group: Option<&'a Arc<dyn BatchNormGroup>>) -> training::BatchNorm<'a> {
        training::BatchNorm {
            weight: &self.weight,
            bias: &self.bias,
            running_mean: &self.running_mean,
            running_var: &self.running_var,
            momentum: self.momentum,
            epsilon: self.epsilon,
            group,
        }
    }
}

/// The classifier, from `[N, features]` to `[N, classes]`.
#[derive(Debug)]
pub(crate) struct Linear {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
}

impl Linear {
    pub(crate) fn new(
        builder: &mut Builder,
        place: &Place<'_>,
        input: usize,
        output: usize,
    ) -> Result<Self, TchError> {
        let weight = builder.init.classifier([output, input], &place.path)?;
        let weight = builder.add(place, "weight", weight, true);
        let bias = builder.init.bias(output, input, &place.path)?;
        let bias = builder.add(place, "bias", bias, true);
        Ok(Self { weight, bias })
    }

    pub(crate) fn forward(&self, input: &Tensor) -> Result<Tensor, TchError> {
        input.f_linear(&self.weight, Some(&self.bias))
    }
}
