//! The layers of a network, before they are packed.

use std::borrow::Cow;

/// The padding of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// TensorFlow's SAME, which depends on the size of the input.
    Same,
    /// A fixed number of pixels at the top, bottom, left and right.
    Fixed([usize; 4]),
}

/// A convolution, with the batch normalisation after it folded into `scale` and `bias`.
#[derive(Debug, Clone)]
pub struct Convolution<'a> {
    /// The weights, row-major.
    pub weight: Cow<'a, [f32]>,
    /// `[outputs, inputs / groups, kernel, kernel]`.
    pub shape: [usize; 4],
    /// Factors of the weights of each output, `[outputs]`. The products are computed in doubles and
    /// rounded once.
    pub scale: Option<Cow<'a, [f64]>>,
    /// `[outputs]`; not scaled.
    pub bias: Cow<'a, [f32]>,
    /// In pixels.
    pub stride: usize,
    /// Around the input.
    pub padding: Padding,
}

impl<'a> Convolution<'a> {
    /// A convolution with stride 1, without scale or padding.
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

    /// Sets the factors of the weights of each output.
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

/// One inverted bottleneck (MBConv). All but `depthwise` are pointwise convolutions.
#[derive(Debug, Clone)]
pub struct Block<'a> {
    /// To the expanded width, followed by SiLU; `None` if the block does not expand.
    pub expand: Option<Convolution<'a>>,
    /// Depthwise convolution with kernel size 3 or 5 and stride 1 or 2, followed by SiLU.
    pub depthwise: Convolution<'a>,
    /// The first layer of squeeze-and-excitation, followed by SiLU.
    pub reduce: Convolution<'a>,
    /// Its second layer, followed by the sigmoid.
    pub excite: Convolution<'a>,
    /// To the width of the output.
    pub project: Convolution<'a>,
    /// Whether the block's input is added to its output.
    pub skip: bool,
}

/// The layers of an EfficientNet.
#[derive(Debug, Clone)]
pub struct Layers<'a> {
    /// The first convolution, followed by SiLU.
    pub stem: Convolution<'a>,
    /// In order.
    pub blocks: Vec<Block<'a>>,
    /// Pointwise, followed by SiLU and global average pooling.
    pub head: Convolution<'a>,
    /// `[classes, features, 1, 1]`; without it the network ends after pooling.
    pub classifier: Option<Convolution<'a>>,
}
