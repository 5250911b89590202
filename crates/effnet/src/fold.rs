//! Folds batch normalisation into the convolution before it.
//!
//! At inference, batch normalisation is an affine map per channel, so it becomes a scale and a bias of the
//! convolution and costs nothing. Folding in 64 bits and rounding once preserves five digits of the logits;
//! folding in 32 bits would lose one of them.

use effnet_architecture::{Activation, BlockKind, Config, Padding};
use effnet_checkpoint::TensorError;
use effnet_kernels as kernels;
use effnet_kernels::{Block, Convolution, Layers, SqueezeExcite};

use crate::Parameters;

impl Parameters {
    /// Returns the layers of the network. Each batch normalisation is folded into a 64-bit scale and a bias
    /// of the convolution before it. Weights are borrowed if they are stored as 32-bit floats.
    ///
    /// Without classifier parameters, the layers end with the head.
    ///
    /// # Errors
    /// [`TensorError`] when the values of a tensor cannot be read.
    pub fn fold(&self) -> Result<Layers<'_>, TensorError> {
        let config = self.config();
        let mut folding = Folding {
            parameters: self,
            config,
            size: config.image_size,
        };
        let stem = folding.normalised("_conv_stem", "_bn0", 2)?;
        let mut blocks = Vec::new();
        for (index, block) in config.blocks().iter().enumerate() {
            let name = |layer: &str| format!("_blocks.{index}.{layer}");
            // The layer that is not pointwise has the block's stride.
            let stride = |kind| if block.kind == kind { block.stride } else { 1 };
            blocks.push(Block {
                expand: if block.has_expansion() {
                    let stride = stride(BlockKind::FusedMbConv);
                    Some(folding.normalised(&name("_expand_conv"), &name("_bn0"), stride)?)
                } else {
                    None
                },
                depthwise: if block.kind == BlockKind::MbConv {
                    Some(folding.normalised(&name("_depthwise_conv"), &name("_bn1"), block.stride)?)
                } else {
                    None
                },
                squeeze_excite: match block.squeezed_channels {
                    Some(_) => Some(SqueezeExcite {
                        reduce: folding.biased(&name("_se_reduce"))?,
                        excite: folding.biased(&name("_se_expand"))?,
                    }),
                    None => None,
                },
                project: folding.normalised(
                    &name("_project_conv"),
                    &name("_bn2"),
                    stride(BlockKind::Convolution),
                )?,
                skip: block.skip,
            });
        }
        let head = folding.normalised("_conv_head", "_bn1", 1)?;
        let classifier = match self.get("_fc.weight") {
            Some(_) => Some(folding.biased("_fc")?),
            None => None,
        };
        Ok(Layers {
            stem,
            blocks,
            head,
            classifier,
            activation: match config.family().activation() {
                Activation::Relu6 => kernels::Activation::Relu6,
                _ => kernels::Activation::Silu,
            },
        })
    }
}

struct Folding<'a> {
    parameters: &'a Parameters,
    config: &'a Config,
    /// Input size of the next layer, for an image of the size from which static padding is computed.
    size: [usize; 2],
}

impl<'a> Folding<'a> {
    fn floats(&self, layer: &str, name: &str) -> Result<std::borrow::Cow<'a, [f32]>, TensorError> {
        self.parameters.floats(&format!("{layer}.{name}"))
    }

    /// Returns the shape of a weight, `[outputs, inputs / groups, kernel, kernel]`. A linear layer counts as
    /// a pointwise convolution.
    fn shape(&self, layer: &str) -> [usize; 4] {
        let tensor = self.parameters.get(&format!("{layer}.weight"));
        let shape = tensor.map(effnet_checkpoint::Tensor::shape).unwrap_or_default();
        std::array::from_fn(|side| shape.get(side).copied().unwrap_or(1))
    }

    /// Folds a batch normalisation into the convolution before it, which has no bias.
    fn normalised(
        &mut self,
        convolution: &str,
        batch_norm: &str,
        stride: usize,
    ) -> Result<Convolution<'a>, TensorError> {
        let [variance, gamma, mean, beta] = [
            self.floats(batch_norm, "running_var")?,
            self.floats(batch_norm, "weight")?,
            self.floats(batch_norm, "running_mean")?,
            self.floats(batch_norm, "bias")?,
        ];
        let epsilon = self.config.batch_norm_epsilon;
        let scale: Vec<f64> = gamma
            .iter()
            .zip(&*variance)
            .map(|(&gamma, &variance)| f64::from(gamma) / (f64::from(variance) + epsilon).sqrt())
            .collect();
        let bias: Vec<f32> = beta
            .iter()
            .zip(&*mean)
            .zip(&scale)
            .map(|((&beta, &mean), scale)| (f64::from(beta) - f64::from(mean) * scale) as f32)
            .collect();
        let shape = self.shape(convolution);
        let padding = self.padding(shape[2], stride);
        self.size = self.size.map(|side| side.div_ceil(stride));
        let weight = self.floats(convolution, "weight")?;
        Ok(Convolution::new(weight, shape, bias)
            .with_scale(scale)
            .with_stride(stride)
            .with_padding(padding))
    }

    /// Returns a pointwise convolution or linear layer that has a bias.
    fn biased(&self, layer: &str) -> Result<Convolution<'a>, TensorError> {
        let weight = self.floats(layer, "weight")?;
        Ok(Convolution::new(
            weight,
            self.shape(layer),
            self.floats(layer, "bias")?,
        ))
    }

    fn padding(&self, kernel: usize, stride: usize) -> kernels::Padding {
        match self.config.padding {
            Padding::Same => kernels::Padding::Same,
            fixed => {
                let [[top, bottom], [left, right]] = fixed.sides(kernel, stride, self.size, self.size);
                kernels::Padding::Fixed([top, bottom, left, right])
            }
        }
    }
}
