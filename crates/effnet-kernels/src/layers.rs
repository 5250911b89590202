//! The layers of a network before packing.

use std::borrow::Cow;

/// The padding of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// TensorFlow's SAME padding, which depends on the size of the input.
    Same,
    /// A fixed number of pixels at the top, bottom, left and right.
    Fixed([usize; 4]),
}

/// A convolution. The batch normalisation that follows it is folded into `scale` and `bias`.
#[derive(Debug, Clone)]
pub struct Convolution<'a> {
    /// The weights, row-major.
    pub weight: Cow<'a, [f32]>,
    /// The shape of the weights, `[outputs, inputs / groups, kernel, kernel]`.
    pub shape: [usize; 4],
    /// The factor by which the weights of each output are multiplied, `[outputs]`. The products are computed in
    /// doubles and rounded once.
    pub scale: Option<Cow<'a, [f64]>>,
    /// The biases, `[outputs]`; they are not scaled.
    pub bias: Cow<'a, [f32]>,
    /// The stride in pixels.
    pub stride: usize,
    /// The padding around the input.
    pub padding: Padding,
}

impl<'a> Convolution<'a> {
    /// Creates a convolution with stride 1, without scale or padding.
    pub fn new(
        weight: impl Into<Cow<'a, [f32]>>,
        shape: [usize; 4],
        bias: impl Into<Cow<'a, [f32]>>,
    ) -> Self {
        Self {
            weight: weight.into(),
            shape,
            scale: None,
            bias: bias.into(),
            stride: 1,
            padding: Padding::Fixed([0; 4]),
        }
    }

    /// Sets the factor by which the weights of each output are multiplied.
    #[must_use]
    pub fn with_scale(mut self, scale: impl Into<Cow<'a, [f64]>>) -> Self {
        self.scale = Some(scale.into());
        self
    }

    /// Sets the stride.
    #[must_use]
    pub fn with_stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// Sets the padding.
    #[must_use]
    pub fn with_padding(mut self, padding: Padding) -> Self {
        self.padding = padding;
        self
    }
}

/// One block: MBConv, Fused-MBConv or a single convolution. At most one of its convolutions is not pointwise.
#[derive(Debug, Clone)]
pub struct Block<'a> {
    /// The expansion to more channels, followed by the activation; `None` if the block does not expand. Without
    /// [`depthwise`](Self::depthwise), it may have any kernel size and stride.
    pub expand: Option<Convolution<'a>>,
    /// The depthwise convolution with kernel size 3 or 5 and stride 1 or 2, followed by the activation; `None` in
    /// Fused-MBConv and in a single convolution.
    pub depthwise: Option<Convolution<'a>>,
    /// Squeeze-and-excitation of the depthwise convolution's output; `None` if the block has none.
    pub squeeze_excite: Option<SqueezeExcite<'a>>,
    /// The projection to the channels of the output. If it is the block's only convolution, it may have any kernel
    /// size and stride, and is followed by the activation.
    pub project: Convolution<'a>,
    /// Whether the block's input is added to its output.
    pub skip: bool,
}

/// Squeeze-and-excitation: gates for the channels, computed from their means over the pixels.
#[derive(Debug, Clone)]
pub struct SqueezeExcite<'a> {
    /// The first layer, followed by SiLU.
    pub reduce: Convolution<'a>,
    /// The second layer, followed by the sigmoid.
    pub excite: Convolution<'a>,
}

/// The activation function of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(i32)] // the numbers of `Activation` in native/activation.h
pub enum Activation {
    /// `x * sigmoid(x)`, also called swish.
    #[default]
    Silu = 1,
    /// `min(max(x, 0), 6)`.
    Relu6 = 2,
}

/// The layers of an EfficientNet.
#[derive(Debug, Clone)]
pub struct Layers<'a> {
    /// The first convolution, followed by the activation.
    pub stem: Convolution<'a>,
    /// The blocks, in order.
    pub blocks: Vec<Block<'a>>,
    /// The last convolution, which is pointwise and followed by the activation and global average pooling.
    pub head: Convolution<'a>,
    /// The classifier, `[classes, features, 1, 1]`; without it, the network ends after pooling.
    pub classifier: Option<Convolution<'a>>,
    /// The activation after every convolution but the projections that follow another one.
    pub activation: Activation,
}
