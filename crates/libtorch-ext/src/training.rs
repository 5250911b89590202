//! Layers for training that save only their input for the backward pass.
//!
//! libtorch's operators would also save the outputs of batch normalisation, SiLU and the gate. The layers here
//! recompute them in the backward pass, and need half the memory and time. They run on the CPU; synchronised batch
//! normalisation runs on any device.

mod group;

use std::ptr;
use std::sync::Arc;

pub use effnet_kernels::Activation;
use effnet_kernels::boundary::RawResult;
use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

use crate::Error;
use crate::error::check;
use crate::raw::{
    RawNorm, effnet_depthwise, effnet_norm_activation, effnet_norm_squeeze_excite, effnet_sync_batch_norm,
};

pub use group::BatchNormGroup;

/// Batch normalisation over the channels of `[N, C, H, W]` in training. It uses the statistics of the batch,
/// or of the batches of all processes of a group, and updates the running statistics with them.
#[derive(Debug, Clone, Copy)]
pub struct BatchNorm<'a> {
    /// `[C]`.
    pub weight: &'a Tensor,
    /// `[C]`.
    pub bias: &'a Tensor,
    /// `[C]`, updated.
    pub running_mean: &'a Tensor,
    /// `[C]`, updated.
    pub running_var: &'a Tensor,
    /// The weight of the batch in the running statistics.
    pub momentum: f64,
    /// Epsilon, added to the variance.
    pub epsilon: f64,
    /// The processes whose batches are normalised together; `None` means this process alone.
    pub group: Option<&'a Arc<dyn BatchNormGroup>>,
}

/// The two pointwise convolutions of squeeze-and-excitation, with biases.
#[derive(Debug, Clone, Copy)]
pub struct SqueezeExcite<'a> {
    /// `[S, C, 1, 1]` and `[S]`, followed by SiLU.
    pub reduce: [&'a Tensor; 2],
    /// `[C, S, 1, 1]` and `[C]`, followed by the sigmoid.
    pub expand: [&'a Tensor; 2],
}

/// Returns whether the kernels of this module can train with `x` and `norm`: both must be on the CPU, the
/// parameters must be 32-bit floats, `x` must be 32-bit floats or bfloat16, and all processes together must have
/// more than one value per channel.
pub fn is_supported(x: &Tensor, norm: &BatchNorm<'_>) -> bool {
    let least = if norm.group.is_some() { 1 } else { 2 };
    runs_on(x, norm.weight, least)
}

/// Returns whether the kernels support `x` with parameters like `parameter`, if `x` must have at least `least`
/// values per channel.
fn runs_on(x: &Tensor, parameter: &Tensor, least: i64) -> bool {
    let kinds = (x.kind(), parameter.kind());
    x.device() == Device::Cpu
        && parameter.device() == Device::Cpu
        && matches!(kinds, (Kind::Float | Kind::BFloat16, Kind::Float))
        && matches!(x.size()[..], [n, c, h, w] if c > 0 && n * h * w >= least)
}

fn expect(name: &'static str, tensor: &Tensor, expected: &[i64]) -> Result<(), Error> {
    let found = tensor.size();
    if tensor.device() != Device::Cpu {
        return Err(Error::Device {
            expected: "the CPU",
            found: tensor.device(),
        });
    }
    if found == expected && tensor.is_contiguous() && tensor.kind() == Kind::Float {
        return Ok(());
    }
    expect_shape(name, tensor, expected)?;
    Err(Error::Layout {
        name,
        found: tensor.kind(),
    })
}

fn expect_shape(name: &'static str, tensor: &Tensor, expected: &[i64]) -> Result<(), Error> {
    let found = tensor.size();
    if found == expected {
        return Ok(());
    }
    let expected = expected.to_vec();
    Err(Error::Shape {
        name,
        expected,
        found,
    })
}

/// Returns the number of channels of `x`, or an error unless `run` says that the kernels support it.
fn channels(x: &Tensor, run: bool) -> Result<i64, Error> {
    let size = x.size();
    if run {
        return Ok(size[1]);
    }
    Err(Error::Shape {
        name: "the input of a training layer",
        expected: vec![-1; 4],
        found: size,
    })
}

impl BatchNorm<'_> {
    fn raw(&self, channels: i64) -> Result<RawNorm, Error> {
        let tensors = [self.weight, self.bias, self.running_mean, self.running_var];
        for tensor in tensors {
            expect("a batch norm tensor", tensor, &[channels])?;
        }
        Ok(self.pointers())
    }

    fn pointers(&self) -> RawNorm {
        RawNorm {
            weight: self.weight.as_ptr(),
            bias: self.bias.as_ptr(),
            running_mean: self.running_mean.as_ptr(),
            running_var: self.running_var.as_ptr(),
            momentum: self.momentum,
            epsilon: self.epsilon,
            group: group::raw(self.group),
        }
    }
}

/// Computes `norm(x)`, followed by the activation if there is one.
///
/// # Errors
/// [`Error::Shape`] when the parameters do not match `x`, or [`is_supported`] is false; [`Error::Native`],
/// [`Error::OutOfMemory`].
pub fn norm_activation(
    x: &Tensor,
    norm: &BatchNorm<'_>,
    activation: Option<Activation>,
) -> Result<Tensor, Error> {
    let raw = norm.raw(channels(x, is_supported(x, norm))?)?;
    // SAFETY: the tensors are alive, and the parameters have as many values as `x` has channels.
    output(|out| unsafe { effnet_norm_activation(x.as_ptr(), &raw const raw, number(activation), out) })
}

/// Computes `norm(x)` over the batches of the norm's group, for activations `[N, C, H, W]` of any kind on any
/// device. This is built on libtorch's operators, for activations that [`is_supported`] rejects.
///
/// # Errors
/// [`Error::Shape`] when the parameters do not match `x`, [`Error::Native`] when the norm does not have a group or
/// the group fails, [`Error::OutOfMemory`].
pub fn sync_batch_norm(x: &Tensor, norm: &BatchNorm<'_>) -> Result<Tensor, Error> {
    let found = x.size();
    let [_, channels, _, _] = found[..] else {
        let (name, expected) = ("the input of a training layer", vec![-1; 4]);
        return Err(Error::Shape {
            name,
            expected,
            found,
        });
    };
    for tensor in [norm.weight, norm.bias, norm.running_mean, norm.running_var] {
        expect_shape("a batch norm tensor", tensor, &[channels])?;
    }
    let raw = norm.pointers();
    // SAFETY: the tensors are alive, and the parameters have as many values as `x` has channels.
    output(|out| unsafe { effnet_sync_batch_norm(x.as_ptr(), &raw const raw, out) })
}

/// Computes a depthwise convolution of `activation(norm(x))`, or of `x` if `before` is `None`, with `kernels` of
/// shape `[C, 1, k, k]`, where `k` is 3 or 5, and a stride of 1 or 2. `padding` is `[top, bottom, left, right]`, each
/// less than `k`.
///
/// # Errors
/// The errors of [`norm_activation`], and [`Error::OutOfRange`] for any other kernel size, stride or padding.
pub fn depthwise(
    x: &Tensor,
    before: Option<(&BatchNorm<'_>, Activation)>,
    kernels: &Tensor,
    stride: i64,
    padding: [i64; 4],
) -> Result<Tensor, Error> {
    let runs = runs_on(x, kernels, 1) && before.is_none_or(|(norm, _)| is_supported(x, norm));
    let channels = channels(x, runs)?;
    let side = kernels.size().last().copied().unwrap_or(0);
    expect("the depthwise kernel", kernels, &[channels, 1, side, side])?;
    let out_of_range = |name, value| Err(Error::OutOfRange { name, value });
    if side != 3 && side != 5 {
        return out_of_range("the kernel size", side);
    }
    if stride != 1 && stride != 2 {
        return out_of_range("the stride", stride);
    }
    if let Some(&pad) = padding.iter().find(|&&pad| pad < 0 || pad >= side) {
        return out_of_range("the padding", pad);
    }
    let size = x.size();
    let padded = [
        size[2] + padding[0] + padding[1],
        size[3] + padding[2] + padding[3],
    ];
    if let Some(&short) = padded.iter().find(|&&padded| padded < side) {
        return out_of_range("the padded size of the input", short);
    }
    let raw = before.map(|(norm, _)| norm.raw(channels)).transpose()?;
    let raw = raw.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: as above. The C++ kernels support the shape, stride and padding, and `padding` has four numbers.
    output(|out| unsafe {
        effnet_depthwise(
            x.as_ptr(),
            raw,
            number(before.map(|(_, activation)| activation)),
            kernels.as_ptr(),
            stride,
            padding.as_ptr(),
            out,
        )
    })
}

/// Applies squeeze-and-excitation to `y = silu(norm(x))`: multiplies `y` by a gate for each channel of each image.
/// Two small layers compute the gates from the channels' means over the pixels.
///
/// # Errors
/// The errors of [`norm_activation`].
pub fn norm_squeeze_excite(
    x: &Tensor,
    norm: &BatchNorm<'_>,
    layers: &SqueezeExcite<'_>,
) -> Result<Tensor, Error> {
    let channels = channels(x, is_supported(x, norm))?;
    let raw = norm.raw(channels)?;
    let SqueezeExcite { reduce, expand } = layers;
    let squeezed = reduce[1].size().first().copied().unwrap_or(0);
    expect("the squeeze weight", reduce[0], &[squeezed, channels, 1, 1])?;
    expect("the squeeze bias", reduce[1], &[squeezed])?;
    expect("the excitation weight", expand[0], &[channels, squeezed, 1, 1])?;
    expect("the excitation bias", expand[1], &[channels])?;
    // SAFETY: the tensors are alive, and their shapes match.
    output(|out| unsafe {
        effnet_norm_squeeze_excite(
            x.as_ptr(),
            &raw const raw,
            reduce[0].as_ptr(),
            reduce[1].as_ptr(),
            expand[0].as_ptr(),
            expand[1].as_ptr(),
            out,
        )
    })
}

/// Returns the number of `effnet::Activation` in C++.
fn number(activation: Option<Activation>) -> i32 {
    activation.map_or(0, |activation| activation as i32)
}

/// Returns the tensor that `call` writes.
fn output(call: impl FnOnce(*mut *mut C_tensor) -> RawResult) -> Result<Tensor, Error> {
    let mut out = ptr::null_mut();
    check(call(&raw mut out))?;
    // SAFETY: after a success, `out` is a tensor on the heap that nothing else owns.
    Ok(unsafe { Tensor::from_ptr(out) })
}
