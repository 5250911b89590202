//! Recognises relatives of EfficientNet that share some of its names.
//!
//! A file of EfficientNet-Lite has a subset of B0's names, and one of EfficientNetV2 some of them: without this, an
//! error would list hundreds of missing tensors, or the file would be taken for another network.

use std::fmt;

use super::{Scheme, TensorShapes};

/// Lite0 without a classifier and without counters has 245 tensors.
const LITE_TENSORS: usize = 200;

/// A family of networks with names like EfficientNet's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Relative {
    /// EfficientNet-Lite: no squeeze-and-excitation, `ReLU6`.
    Lite,
    /// EfficientNetV2: its first stages have fused blocks.
    V2,
    /// EfficientNet-EdgeTPU: fused blocks with an expansion.
    EdgeTpu,
    /// EfficientNet-X and EfficientNet-H: space-to-depth convolutions, and blocks with and without fusion.
    X,
    /// EfficientNet-CondConv: each image is convolved with a mixture of several kernels.
    CondConv,
    /// EfficientNet with the names of Hugging Face's transformers.
    Transformers,
    /// EfficientNet with the names of `OpenMMLab`.
    OpenMmLab,
}

impl Relative {
    /// The family of tensors with these names; `None` for EfficientNet and for other networks. Prefixes such as
    /// `module.` do not matter.
    pub(super) fn recognise(shapes: &TensorShapes<'_>) -> Option<Relative> {
        let any = |end: &str| {
            shapes.names().any(|name| {
                name.strip_suffix(end)
                    .is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('.'))
            })
        };
        let has = |part: &str| shapes.names().any(|name| name.contains(part));
        if any("encoder.blocks.0.depthwise_conv.weight")
            || any("encoder.blocks.0.depthwise_conv.depthwise_conv.weight")
        {
            return Some(Relative::Transformers);
        }
        if any("layers.1.0.depthwise_conv.conv.weight") {
            return Some(Relative::OpenMmLab);
        }
        if has(".routing_fn.") {
            return Some(Relative::CondConv);
        }
        if has(".conv_s2d.") {
            return Some(Relative::X);
        }
        if any("blocks.0.0.conv_exp.weight")
            || any("blocks.1.0.conv_exp.weight") && !any("blocks.0.0.conv.weight")
        {
            return Some(Relative::EdgeTpu);
        }
        // The first stage of V2 is one convolution per block; so is torchvision's `features.1.0.block.0.0`, which
        // is depthwise in V1.
        let fused = shapes
            .get("features.1.0.block.0.0.weight")
            .is_some_and(|shape| matches!(shape, [_, inputs, _, _] if *inputs > 1));
        if fused || any("blocks.0.0.conv.weight") {
            return Some(Relative::V2);
        }
        let scheme = Scheme::recognise(shapes.names())?;
        // A part of a network is an incomplete file, not a Lite.
        if shapes.names().len() < LITE_TENSORS {
            return None;
        }
        let squeezes = match scheme {
            Scheme::Lukemelas => has("._se_reduce."),
            Scheme::Timm => has(".se."),
            Scheme::Torchvision => has(".fc1."),
        };
        (!squeezes).then_some(Relative::Lite)
    }
}

impl fmt::Display for Relative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lite => {
                "this is an EfficientNet-Lite (no squeeze-and-excitation, ReLU6), which is not supported; expected one \
                 of EfficientNet-B0 to B8 or L2"
            }
            Self::V2 => {
                "this is an EfficientNetV2 (fused blocks), which is not supported; expected one of EfficientNet-B0 to \
                 B8 or L2"
            }
            Self::EdgeTpu => {
                "this is an EfficientNet-EdgeTPU (fused blocks with an expansion), which is not supported; expected \
                 one of EfficientNet-B0 to B8 or L2"
            }
            Self::X => {
                "this is an EfficientNet-X or EfficientNet-H (space-to-depth convolutions), which is not supported; \
                 expected one of EfficientNet-B0 to B8 or L2"
            }
            Self::CondConv => {
                "this is an EfficientNet-CondConv (a mixture of kernels per image), which is not supported; expected \
                 one of EfficientNet-B0 to B8 or L2"
            }
            Self::Transformers => {
                "these are the tensor names of Hugging Face transformers, which are not supported; timm's \
                 tf_efficientnet_* are the same networks with names that are"
            }
            Self::OpenMmLab => {
                "these are the tensor names of OpenMMLab, which are not supported; expected those of lukemelas, \
                 torchvision or timm"
            }
        })
    }
}
