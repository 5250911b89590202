//! The mobile inverted bottleneck block, with squeeze-and-excitation or without.

use std::sync::Arc;

use libtorch_ext::training::{self, Activation, BatchNormGroup};
use tch::{Kind, TchError, Tensor};

use crate::layers::{BatchNorm, Builder, Conv, ConvShape, Mode, Place};
use crate::{BlockConfig, Config};

/// An MBConv block (Sandler et al. 2018; squeeze-and-excitation as in MnasNet): expansion, depthwise convolution,
/// squeeze-and-excitation, projection, skip connection.
#[derive(Debug)]
pub(crate) struct MBConv {
    expand: Option<(Conv, BatchNorm)>,
    depthwise: Conv,
    depthwise_bn: BatchNorm,
    squeeze_excite: Option<SqueezeExcite>,
    project: Conv,
    project_bn: BatchNorm,
    skip: bool,
}

impl MBConv {
    /// Registers a block, and returns it with the size of its output. `designed_for` is the size of the block's
    /// input for an image of [`Config::image_size`].
    pub(crate) fn new(
        builder: &mut Builder,
        place: &Place<'_>,
        config: &Config,
        block: &BlockConfig,
        designed_for: [usize; 2],
    ) -> Result<(Self, [usize; 2]), TchError> {
        let expanded = block.expanded_channels();
        let conv = |builder: &mut Builder, name: &str, shape| {
            Conv::new(builder, &place.sub(name), shape, config.padding, designed_for)
        };
        let batch_norm = |builder: &mut Builder, name: &str, channels| {
            BatchNorm::new(builder, &place.sub(name), channels, config)
        };
        let expand = if block.has_expansion() {
            let shape = ConvShape::pointwise(block.input_channels, expanded);
            Some((
                conv(builder, "_expand_conv", shape)?,
                batch_norm(builder, "_bn0", expanded)?,
            ))
        } else {
            None
        };
        let depthwise = ConvShape {
            input: expanded,
            output: expanded,
            kernel: block.kernel,
            stride: block.stride,
            groups: expanded,
            bias: false,
        };
        let depthwise = conv(builder, "_depthwise_conv", depthwise)?;
        let depthwise_bn = batch_norm(builder, "_bn1", expanded)?;
        let with_bias = |input, output| ConvShape {
            bias: true,
            ..ConvShape::pointwise(input, output)
        };
        let squeeze_excite = match block.squeezed_channels {
            Some(squeezed) => Some(SqueezeExcite {
                reduce: conv(builder, "_se_reduce", with_bias(expanded, squeezed))?,
                expand: conv(builder, "_se_expand", with_bias(squeezed, expanded))?,
            }),
            None => None,
        };
        let project = conv(
            builder,
            "_project_conv",
            ConvShape::pointwise(expanded, block.output_channels),
        )?;
        let project_bn = batch_norm(builder, "_bn2", block.output_channels)?;
        let skip = block.skip;
        let output_size = designed_for.map(|size| size.div_ceil(block.stride));
        Ok((
            Self {
                expand,
                depthwise,
                depthwise_bn,
                squeeze_excite,
                project,
                project_bn,
                skip,
            },
            output_size,
        ))
    }

    /// Maps `[N, input, H, W]` to `[N, output, H / stride, W / stride]`. In training, the whole residual branch of
    /// a sample is dropped with probability `drop_rate`.
    pub(crate) fn forward(&self, input: &Tensor, mode: Mode<'_>, drop_rate: f64) -> Result<Tensor, TchError> {
        let expanded = match &self.expand {
            Some((conv, _)) => &conv.forward(input)?,
            None => input,
        };
        let x = match mode {
            Mode::Train(group) if self.depthwise_bn.is_supported(expanded, group) => {
                self.filter_in_training(expanded, group)?
            }
            _ => self.filter(expanded, mode)?,
        };
        let x = self.project_bn.forward(&self.project.forward(&x)?, mode)?;
        if self.skip {
            add_skip(x, input, mode, drop_rate)
        } else {
            Ok(x)
        }
    }

    /// Runs the layers between the two pointwise convolutions.
    fn filter(&self, expanded: &Tensor, mode: Mode<'_>) -> Result<Tensor, TchError> {
        let x = match &self.expand {
            Some((_, bn)) => &bn.forward_activated(expanded, mode)?,
            None => expanded,
        };
        let x = self.depthwise.forward(x)?;
        let x = self.depthwise_bn.forward_activated(&x, mode)?;
        match &self.squeeze_excite {
            Some(squeeze_excite) => squeeze_excite.forward(&x),
            None => Ok(x),
        }
    }

    /// Like [`filter`](Self::filter) in training, but with functions that save only the convolutions' outputs for
    /// the backward pass.
    fn filter_in_training(
        &self,
        expanded: &Tensor,
        group: Option<&Arc<dyn BatchNormGroup>>,
    ) -> Result<Tensor, TchError> {
        let norm = self.expand.as_ref().map(|(_, bn)| bn);
        let x = self.depthwise.train_depthwise(expanded, norm, group)?;
        match &self.squeeze_excite {
            Some(squeeze_excite) => squeeze_excite.train(&x, &self.depthwise_bn, group),
            None => self.depthwise_bn.forward_activated(&x, Mode::Train(group)),
        }
    }
}

/// Squeeze-and-excitation (Hu et al. 2018), which multiplies each channel by a gate in `(0, 1)`.
#[derive(Debug)]
struct SqueezeExcite {
    reduce: Conv,
    expand: Conv,
}

impl SqueezeExcite {
    fn forward(&self, input: &Tensor) -> Result<Tensor, TchError> {
        let pooled = input.f_adaptive_avg_pool2d([1, 1])?;
        let reduced = self.reduce.forward(&pooled)?.f_silu()?;
        let gate = self.expand.forward(&reduced)?.f_sigmoid()?;
        input.f_mul(&gate)
    }

    /// Like [`forward`](Self::forward), but for `activation(norm(input))` in training.
    fn train(
        &self,
        input: &Tensor,
        norm: &BatchNorm,
        group: Option<&Arc<dyn BatchNormGroup>>,
    ) -> Result<Tensor, TchError> {
        match (
            norm.activation,
            self.reduce.parameters(),
            self.expand.parameters(),
        ) {
            (Activation::Silu, Some(reduce), Some(expand)) => {
                let layers = training::SqueezeExcite { reduce, expand };
                Ok(training::norm_squeeze_excite(
                    input,
                    &norm.counted(group)?,
                    &layers,
                )?)
            }
            _ => self.forward(&norm.forward_activated(input, Mode::Train(group))?),
        }
    }
}

/// Adds a block's input to its residual branch, of which samples are dropped in training with probability `drop_rate`.
pub(crate) fn add_skip(
    branch: Tensor,
    input: &Tensor,
    mode: Mode<'_>,
    drop_rate: f64,
) -> Result<Tensor, TchError> {
    let branch = if mode.is_train() && drop_rate > 0.0 {
        drop_connect(&branch, drop_rate)?
    } else {
        branch
    };
    branch.f_add(input)
}

/// Zeroes whole samples of `[N, C, H, W]` with probability `rate`, and divides the others by `1 - rate`, which
/// preserves the expectation (stochastic depth, Huang et al. 2016; `drop_connect` in the original implementation).
fn drop_connect(input: &Tensor, rate: f64) -> Result<Tensor, TchError> {
    let keep = 1.0 - rate;
    let batch = input.size()[0];
    // Draw in f32 whatever the type of the input: bf16 would round the rate itself.
    let draws = Tensor::f_rand([batch, 1, 1, 1], (Kind::Float, input.device()))?;
    let mask = draws.f_add_scalar(keep)?.f_floor()?.f_div_scalar(keep)?;
    input.f_mul(&mask.f_to_kind(input.kind())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_connect_keeps_the_stated_fraction_and_the_expectation() {
        tch::manual_seed(1);
        let ones = Tensor::ones([20_000, 1, 1, 1], (Kind::Float, tch::Device::Cpu));
        let dropped = drop_connect(&ones, 0.3).unwrap();
        let kept = dropped
            .gt(0.0)
            .to_kind(Kind::Double)
            .mean(Kind::Double)
            .double_value(&[]);
        // Four standard deviations of a binomial with n = 20,000.
        assert!((kept - 0.7).abs() < 0.013, "kept {kept}");
        assert!((dropped.max().double_value(&[]) - 1.0 / 0.7).abs() < 1e-6);
    }
}
