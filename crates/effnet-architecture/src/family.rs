//! The families of networks, and what the members of a family share besides the shape of their stages.

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
            Self::V1 => Activation::Silu,
            Self::Lite => Activation::Relu6,
        }
    }

    /// The channels of the squeeze-and-excitation bottleneck as a fraction of the block's input channels; `None`
    /// without squeeze-and-excitation.
    pub fn squeeze_excite_ratio(self) -> Option<f64> {
        match self {
            Self::V1 => Some(0.25),
            Self::Lite => None,
        }
    }

    /// Whether scaling applies to the channels of the stem and the head, and to the number of blocks in the first and
    /// the last stage.
    pub(crate) fn scales_ends(self) -> bool {
        match self {
            Self::V1 => true,
            Self::Lite => false,
        }
    }
}
