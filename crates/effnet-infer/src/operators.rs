//! The folded network through libtorch's own operators: the path for devices other than the CPU.

use effnet_core::channels_last;
use libtorch_ext::{Convolution, FusedBlock, NetworkParts, Padding};
use tch::{Device, Kind, TchError, Tensor};

/// The folded layers on a device, in the precision they are computed in.
#[derive(Debug)]
pub(crate) struct OperatorNetwork {
    parts: NetworkParts,
    device: Device,
    kind: Kind,
    kernels: Kernels,
}

/// Which of cuDNN's kernels a convolution may take; other devices have no choice.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Kernels {
    /// The fastest, found by timing them for each new shape, rather than what cuDNN expects to be.
    pub(crate) autotune: bool,
    /// Those too that round 32-bit floats to TensorFloat-32 before they multiply.
    pub(crate) tf32: bool,
}

impl OperatorNetwork {
    pub(crate) fn new(
        mut parts: NetworkParts,
        device: Device,
        kind: Kind,
        kernels: Kernels,
    ) -> Result<Self, TchError> {
        let place = |convolution: &mut Convolution| -> Result<(), TchError> {
            let mut weight = convolution.weight.f_to_kind(Kind::Double)?;
            if let Some(scale) = convolution.scale.take() {
                let scale = scale.f_to_device(weight.device())?.f_view([-1, 1, 1, 1])?;
                weight = weight.f_mul(&scale)?.f_to_kind(Kind::Float)?;
            }
            convolution.weight = channels_last(&weight.f_to_device(device)?.f_to_kind(kind)?)?;
            // The biases that are not folded are those of the network.
            convolution.bias = convolution.bias.f_to_device_(device, kind, false, true)?;
            Ok(())
        };
        place(&mut parts.stem)?;
        for FusedBlock {
            expand,
            depthwise,
            reduce,
            excite,
            project,
            ..
        } in &mut parts.blocks
        {
            for layer in expand.iter_mut().chain([depthwise, reduce, excite, project]) {
                place(layer)?;
            }
        }
        place(&mut parts.head)?;
        parts.classifier.iter_mut().try_for_each(place)?;
        Ok(Self {
            parts,
            device,
            kind,
            kernels,
        })
    }

    /// What it is computed in.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Logits `[N, classes]`, or averaged features `[N, C]` without a classifier, in floats.
    pub(crate) fn run(&self, images: &Tensor) -> Result<Tensor, TchError> {
        let pooled = self.features(images)?.f_adaptive_avg_pool2d([1, 1])?;
        let output = match &self.parts.classifier {
            Some(classifier) => self.convolve(&pooled, classifier)?,
            None => pooled,
        };
        output.f_flatten(1, -1)?.f_to_kind(Kind::Float)
    }

    /// Activations `[N, C, H', W']` after the head, in floats.
    pub(crate) fn run_features(&self, images: &Tensor) -> Result<Tensor, TchError> {
        self.features(images)?.f_to_kind(Kind::Float)?.f_contiguous()
    }

    fn features(&self, images: &Tensor) -> Result<Tensor, TchError> {
        let images = images.f_to_device(self.device)?.f_to_kind(self.kind)?;
        let mut x = self
            .convolve(&channels_last(&images)?, &self.parts.stem)?
            .f_silu_()?;
        for block in &self.parts.blocks {
            x = self.run_block(block, &x)?;
        }
        self.convolve(&x, &self.parts.head)?.f_silu_()
    }

    fn run_block(&self, block: &FusedBlock, input: &Tensor) -> Result<Tensor, TchError> {
        let expanded = match &block.expand {
            Some(expand) => self.convolve(input, expand)?.f_silu_()?,
            None => input.shallow_clone(),
        };
        let mut x = self.convolve(&expanded, &block.depthwise)?.f_silu_()?;
        let pooled = x.f_adaptive_avg_pool2d([1, 1])?;
        let squeezed = self.convolve(&pooled, &block.reduce)?.f_silu_()?;
        let gate = self.convolve(&squeezed, &block.excite)?.f_sigmoid_()?;
        x = x.f_mul_(&gate)?;
        let mut x = self.convolve(&x, &block.project)?;
        if block.skip { x.f_add_(input) } else { Ok(x) }
    }

    fn convolve(&self, input: &Tensor, convolution: &Convolution) -> Result<Tensor, TchError> {
        convolve(input, convolution, self.kernels)
    }
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
            let same = |pixels: i64| {
                let total = (((pixels + stride - 1) / stride - 1) * stride + size[2] - pixels).max(0);
                [total / 2, total - total / 2]
            };
            let ([top, bottom], [left, right]) = (same(input.size()[2]), same(input.size()[3]));
            [top, bottom, left, right]
        }
    };
    // What `conv2d` takes from settings of the process is told here, for this network alone.
    let conv = |input: &Tensor, padding: [i64; 2]| {
        let deterministic = true;
        input.f_internal_convolution(
            weight,
            Some(bias),
            [*stride; 2],
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
