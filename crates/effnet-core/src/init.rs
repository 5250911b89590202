//! Initial values for training from scratch.

use tch::{Device, Kind, TchError, Tensor, nn};

/// How the parameters of a new network are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Initialisation {
    /// As in the TensorFlow implementation, timm and torchvision: kernels from a normal distribution by their fan-out,
    /// biases 0.
    #[default]
    TensorFlow,
    /// As PyTorch does by default, and so `efficientnet_pytorch`: weights and biases from U(±1 / √fan-in).
    PyTorch,
}

/// How new parameters are initialised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Init {
    /// Random values.
    Drawn(Initialisation),
    /// No values, for a network whose parameters are about to be loaded: drawing random values for B7 takes longer
    /// than reading its parameters.
    Unfilled,
}

impl Init {
    /// Draws a kernel `[output, input / groups, k, k]` from N(0, 2 / fan-out). The fan-out of a depthwise
    /// convolution counts only its own kernel (`conv_kernel_initializer` in tensorflow/tpu
    /// `efficientnet_model.py`; timm's `fan_out // groups`).
    pub(crate) fn convolution(
        self,
        dims: [usize; 4],
        groups: usize,
        path: &nn::Path<'_>,
    ) -> Result<Tensor, TchError> {
        let [output, input, height, width] = dims;
        if self == Self::Drawn(Initialisation::PyTorch) {
            return self.uniform(&dims.map(|side| side as i64), input * height * width, path);
        }
        let fan_out = (output * height * width / groups).max(1);
        let deviation = (2.0 / fan_out as f64).sqrt();
        self.fill(&dims.map(|side| side as i64), path, |mut tensor| {
            tensor.f_normal_(0.0, deviation)
        })
    }

    /// Returns the bias of a layer with `outputs` outputs, each of `fan_in` inputs.
    pub(crate) fn bias(self, outputs: usize, fan_in: usize, path: &nn::Path<'_>) -> Result<Tensor, TchError> {
        match self {
            Self::Drawn(Initialisation::PyTorch) => self.uniform(&[outputs as i64], fan_in, path),
            _ => self.constant(0.0, &[outputs as i64], path),
        }
    }

    /// Draws from U(±1 / √fan-in), the default of PyTorch's layers (`kaiming_uniform_` with `a` = √5).
    fn uniform(self, dims: &[i64], fan_in: usize, path: &nn::Path<'_>) -> Result<Tensor, TchError> {
        let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
        self.fill(dims, path, |mut tensor| tensor.f_uniform_(-bound, bound))
    }

    /// Draws the classifier's matrix `[classes, features]` from U(±1 / √classes) (`dense_kernel_initializer` in
    /// the same file).
    pub(crate) fn classifier(self, dims: [usize; 2], path: &nn::Path<'_>) -> Result<Tensor, TchError> {
        if self == Self::Drawn(Initialisation::PyTorch) {
            return self.uniform(&dims.map(|side| side as i64), dims[1], path);
        }
        let bound = 1.0 / (dims[0] as f64).sqrt();
        self.fill(&dims.map(|side| side as i64), path, |mut tensor| {
            tensor.f_uniform_(-bound, bound)
        })
    }

    pub(crate) fn constant(self, value: f64, dims: &[i64], path: &nn::Path<'_>) -> Result<Tensor, TchError> {
        self.fill(dims, path, |mut tensor| tensor.f_fill_(value))
    }

    fn fill(
        self,
        dims: &[i64],
        path: &nn::Path<'_>,
        fill: impl FnOnce(Tensor) -> Result<Tensor, TchError>,
    ) -> Result<Tensor, TchError> {
        let options: (Kind, Device) = (path.kind(), path.device());
        match self {
            Self::Drawn(_) => fill(Tensor::f_empty(dims, options)?),
            Self::Unfilled => Tensor::f_empty(dims, options),
        }
    }
}
