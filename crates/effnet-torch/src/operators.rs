//! The folded network built from libtorch's operators, for devices other than the CPU.
//!
//! Batch normalisation is folded into the convolutions by the code that prepares the CPU kernels, so both
//! paths compute the same layers. In this module, the layers are tensors on a device.

use effnet_core::channels_last;
use effnet_kernels::{Activation, Layers, Padding};
use tch::{Device, Kind, TchError, Tensor};

/// A folded convolution on a device.
#[derive(Debug)]
struct Convolution {
    weight: Tensor,
    bias: Tensor,
    stride: usize,
    padding: Padding,
}

/// A folded block on a device.
#[derive(Debug)]
struct Block {
    expand: Option<Convolution>,
    depthwise: Option<Convolution>,
    /// The two layers of squeeze-and-excitation.
    squeeze_excite: Option<[Convolution; 2]>,
    project: Convolution,
    skip: bool,
}

/// The folded layers on a device, in the precision in which they compute.
#[derive(Debug)]
pub(crate) struct OperatorNetwork {
    stem: Convolution,
    blocks: Vec<Block>,
    head: Convolution,
    classifier: Option<Convolution>,
    activation: Activation,
    device: Device,
    kind: Kind,
    kernels: Kernels,
}

/// Which cuDNN kernels a convolution may use; ignored on other devices.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Kernels {
    /// Whether to time the kernels for each new shape and use the fastest, instead of relying on cuDNN's
    /// heuristic.
    pub(crate) autotune: bool,
    /// Whether to also allow kernels that round 32-bit floats to TensorFloat-32 before multiplying.
    pub(crate) tf32: bool,
}

impl OperatorNetwork {
    /// Creates the layers as `kind` on `device`.
    pub(crate) fn new(
        layers: &Layers<'_>,
        device: Device,
        kind: Kind,
        kernels: Kernels,
    ) -> Result<Self, TchError> {
        let place = |layer: &effnet_kernels::Convolution<'_>| convolution(layer, device, kind);
        let blocks = layers.blocks.iter().map(|block| {
            Ok(Block {
                expand: block.expand.as_ref().map(place).transpose()?,
                depthwise: block.depthwise.as_ref().map(place).transpose()?,
                squeeze_excite: match &block.squeeze_excite {
                    Some(layers) => Some([place(&layers.reduce)?, place(&layers.excite)?]),
                    None => None,
                },
                project: place(&block.project)?,
                skip: block.skip,
            })
        });
        Ok(Self {
            stem: place(&layers.stem)?,
            blocks: blocks.collect::<Result<_, TchError>>()?,
            head: place(&layers.head)?,
            classifier: layers.classifier.as_ref().map(place).transpose()?,
            activation: layers.activation,
            device,
            kind,
            kernels,
        })
    }

    /// Returns the element type in which the network computes.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Computes the logits `[N, classes]`, or the pooled features `[N, C]` if there is no classifier, as
    /// 32-bit floats.
    pub(crate) fn run(&self, images: &Tensor) -> Result<Tensor, TchError> {
        let pooled = self.features(images)?.f_adaptive_avg_pool2d([1, 1])?;
        let output = match &self.classifier {
            Some(classifier) => self.convolve(&pooled, classifier)?,
            None => pooled,
        };
        output.f_flatten(1, -1)?.f_to_kind(Kind::Float)
    }

    /// Computes the activations `[N, C, H', W']` after the head, as 32-bit floats.
    pub(crate) fn run_features(&self, images: &Tensor) -> Result<Tensor, TchError> {
        self.features(images)?.f_to_kind(Kind::Float)?.f_contiguous()
    }

    fn features(&self, images: &Tensor) -> Result<Tensor, TchError> {
        let images = images.f_to_device(self.device)?.f_to_kind(self.kind)?;
        let mut x = self.activate(self.convolve(&channels_last(&images)?, &self.stem)?)?;
        for block in &self.blocks {
            x = self.run_block(block, &x)?;
        }
        self.activate(self.convolve(&x, &self.head)?)
    }

    fn activate(&self, mut x: Tensor) -> Result<Tensor, TchError> {
        match self.activation {
            Activation::Silu => x.f_silu_(),
            Activation::Relu6 => x.f_clamp_(0, 6),
        }
    }

    fn run_block(&self, block: &Block, input: &Tensor) -> Result<Tensor, TchError> {
        let expanded = match &block.expand {
            Some(expand) => self.activate(self.convolve(input, expand)?)?,
            None => input.shallow_clone(),
        };
        let mut x = match &block.depthwise {
            Some(depthwise) => self.activate(self.convolve(&expanded, depthwise)?)?,
            None => expanded,
        };
        if let Some([reduce, excite]) = &block.squeeze_excite {
            let pooled = x.f_adaptive_avg_pool2d([1, 1])?;
            let squeezed = self.convolve(&pooled, reduce)?.f_silu_()?;
            let gate = self.convolve(&squeezed, excite)?.f_sigmoid_()?;
            x = x.f_mul_(&gate)?;
        }
        let mut x = self.convolve(&x, &block.project)?;
        if block.expand.is_none() && block.depthwise.is_none() {
            x = self.activate(x)?;
        }
        if block.skip { x.f_add_(input) } else { Ok(x) }
    }

    fn convolve(&self, input: &Tensor, convolution: &Convolution) -> Result<Tensor, TchError> {
        convolve(input, convolution, self.kernels)
    }
}

/// Returns a layer's weight, multiplied by the scale of its batch norm in 64 bits, and its bias.
fn convolution(
    layer: &effnet_kernels::Convolution<'_>,
    device: Device,
    kind: Kind,
) -> Result<Convolution, TchError> {
    let shape = layer.shape.map(|side| side as i64);
    let mut weight = Tensor::f_from_slice(&layer.weight)?
        .f_view(shape)?
        .f_to_kind(Kind::Double)?;
    if let Some(scale) = &layer.scale {
        let scale = Tensor::f_from_slice(scale)?.f_view([-1, 1, 1, 1])?;
        weight = weight.f_mul(&scale)?.f_to_kind(Kind::Float)?;
    }
    Ok(Convolution {
        weight: channels_last(&weight.f_to_device(device)?.f_to_kind(kind)?)?,
        bias: Tensor::f_from_slice(&layer.bias)?
            .f_to_device(device)?
            .f_to_kind(kind)?,
        stride: layer.stride,
        padding: layer.padding,
    })
}

fn convolve(input: &Tensor, convolution: &Convolution, kernels: Kernels) -> Result<Tensor, TchError> {
    let Convolution {
        weight,
        bias,
        stride,
        padding,
        ..
    } = convolution;
    let size = weight.size();
    let groups = input.size()[1] / size[1];
    let [top, bottom, left, right] = match *padding {
        Padding::Fixed(sides) => sides,
        Padding::Same => {
            let input = [input.size()[2] as usize, input.size()[3] as usize];
            let [rows, columns] =
                effnet_architecture::Padding::Same.sides(size[2] as usize, *stride, input, input);
            [rows[0], rows[1], columns[0], columns[1]]
        }
    }
    .map(|side| side as i64);
    // `conv2d` reads these flags from global state, whereas here they apply only to this network.
    let conv = |input: &Tensor, padding: [i64; 2]| {
        let deterministic = true;
        input.f_internal_convolution(
            weight,
            Some(bias),
            [*stride as i64; 2],
            padding,
            [1, 1],
            false,
            [0, 0],
            groups,
            kernels.autotune,
            deterministic,
            true,
            kernels.tf32,
        )
    };
    if top == bottom && left == right {
        return conv(input, [top, left]);
    }
    conv(&input.f_constant_pad_nd([left, right, top, bottom])?, [0, 0])
}
