//! The blocks of EfficientNetV2's first stages, whose convolution is dense.

use tch::{TchError, Tensor};

use crate::layers::{BatchNorm, Builder, Conv, ConvShape, Mode, Place};
use crate::mbconv::add_skip;
use crate::{BlockConfig, Config};

/// Fused-MBConv (Gupta and Akin 2019; arXiv:2104.00298, figure 2): a dense convolution that expands, a projection, a
/// skip connection. Without an expansion, it is one dense convolution, which is activated.
#[derive(Debug)]
pub(crate) struct FusedMBConv {
    expand: Option<(Conv, BatchNorm)>,
    project: Conv,
    project_bn: BatchNorm,
    skip: bool,
}

impl FusedMBConv {
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
        let dense = |input, output| ConvShape {
            kernel: block.kernel,
            stride: block.stride,
            ..ConvShape::pointwise(input, output)
        };
        let (expand, project) = if block.has_expansion() {
            let expand = conv(builder, "_expand_conv", dense(block.input_channels, expanded))?;
            let norm = batch_norm(builder, "_bn0", expanded)?;
            (
                Some((expand, norm)),
                ConvShape::pointwise(expanded, block.output_channels),
            )
        } else {
            (None, dense(block.input_channels, block.output_channels))
        };
        let project = conv(builder, "_project_conv", project)?;
        let project_bn = batch_norm(builder, "_bn2", block.output_channels)?;
        let output_size = designed_for.map(|size| size.div_ceil(block.stride));
        Ok((
            Self {
                expand,
                project,
                project_bn,
                skip: block.skip,
            },
            output_size,
        ))
    }

    /// Maps `[N, input, H, W]` to `[N, output, H / stride, W / stride]`. In training, the whole residual branch of
    /// a sample is dropped with probability `drop_rate`.
    pub(crate) fn forward(&self, input: &Tensor, mode: Mode<'_>, drop_rate: f64) -> Result<Tensor, TchError> {
        let x = match &self.expand {
            Some((conv, norm)) => {
                let expanded = norm.forward_activated(&conv.forward(input)?, mode)?;
                self.project_bn.forward(&self.project.forward(&expanded)?, mode)?
            }
            None => self
                .project_bn
                .forward_activated(&self.project.forward(input)?, mode)?,
        };
        if self.skip {
            add_skip(x, input, mode, drop_rate)
        } else {
            Ok(x)
        }
    }
}
