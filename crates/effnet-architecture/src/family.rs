//! The families of networks, and what the members of a family share besides the shape of their stages.

use std::fmt;

use crate::BlockKind;

/// A family of networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum Family {
    /// EfficientNet-B0 to B8 and L2 (Tan and Le 2019, arXiv:1905.11946).
    #[default]
    V1,
    /// EfficientNet-Lite0 to Lite4, for hardware with integer arithmetic: ReLU6 instead of SiLU, no
    /// squeeze-and-excitation, and a stem, a head and numbers of blocks in the first and the last stage that are not
    /// scaled (`efficientnet_lite_builder.py` in tensorflow/tpu).
    Lite,
    /// EfficientNetV2 (Tan and Le 2021, arXiv:2104.00298): dense convolutions instead of depthwise ones in the first
    /// stages, no squeeze-and-excitation in these, and only kernels of size 3.
    V2,
}

/// The activation function of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// `x * sigmoid(x)`, also called swish.
    Silu,
    /// `min(max(x, 0), 6)`.
    Relu6,
}

impl Family {
    /// The activation after every convolution except the projections.
    pub fn activation(self) -> Activation {
        match self {
            Self::V1 | Self::V2 => Activation::Silu,
            Self::Lite => Activation::Relu6,
        }
    }

    /// The channels of the squeeze-and-excitation bottleneck as a fraction of the block's input channels; `None` for
    /// blocks without squeeze-and-excitation.
    pub fn squeeze_excite_ratio(self, kind: BlockKind) -> Option<f64> {
        match (self, kind) {
            (Self::V1 | Self::V2, BlockKind::MbConv) => Some(0.25),
            _ => None,
        }
    }

    /// Whether scaling applies to the channels of the stem and the head, and to the number of blocks in the first and
    /// the last stage.
    pub(crate) fn scales_ends(self) -> bool {
        self != Self::Lite
    }

    /// Whether the first block of a stage has a residual connection if its input and output have the same shape.
    pub(crate) fn first_block_may_skip(self) -> bool {
        self == Self::V2
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "EfficientNet",
            Self::Lite => "EfficientNet-Lite",
            Self::V2 => "EfficientNetV2",
        })
    }
}
