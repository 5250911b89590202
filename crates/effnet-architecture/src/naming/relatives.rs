//! Recognises relatives of EfficientNet that share some of its names.
//!
//! A file of EfficientNet-EdgeTPU has some of B0's names: without this, an error would list hundreds of missing
//! tensors, or the file would be taken for another network.

use std::fmt;

use super::TensorShapes;

/// A family of networks with names like EfficientNet's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Relative {
    /// EfficientNet-EdgeTPU: fused blocks with an expansion.
    EdgeTpu,
    /// EfficientNet-X and EfficientNet-H: space-to-depth convolutions, and blocks with and without fusion.
    X,
    /// EfficientNet-CondConv: each image is convolved with a mixture of several kernels.
    CondConv,
    /// transformers' `EfficientNetModel`: without its classifier, its names do not have the prefix that the names of
    /// the classifier are distinguished by.
    TransformersBackbone,
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
        let is_backbone = |name: &str| {
            let prefix = name.strip_suffix("encoder.blocks.0.projection.project_conv.weight");
            prefix.is_some_and(|prefix| !prefix.ends_with("efficientnet."))
        };
        if shapes.names().any(is_backbone) {
            return Some(Relative::TransformersBackbone);
        }
        if any("layers.1.0.depthwise_conv.conv.weight") {
            return Some(Relative::OpenMmLab);
        }
        let has = |part: &str| shapes.names().any(|name| name.contains(part));
        if has(".routing_fn.") {
            return Some(Relative::CondConv);
        }
        if has(".conv_s2d.") {
            return Some(Relative::X);
        }
        // V2's first stage does not expand. In that of EdgeTPU, fused blocks do.
        let expands = shapes
            .get("blocks.0.0.conv_exp.weight")
            .map(|shape| shape.first() != shape.get(1));
        if expands == Some(true) || any("blocks.0.0.conv_dw.weight") && any("blocks.1.0.conv_exp.weight") {
            return Some(Relative::EdgeTpu);
        }
        None
    }
}

impl fmt::Display for Relative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EdgeTpu => {
                "this is an EfficientNet-EdgeTPU (fused blocks with an expansion), which is not supported; expected \
                 an EfficientNet, EfficientNet-Lite or EfficientNetV2"
            }
            Self::X => {
                "this is an EfficientNet-X or EfficientNet-H (space-to-depth convolutions), which is not supported; \
                 expected an EfficientNet, EfficientNet-Lite or EfficientNetV2"
            }
            Self::CondConv => {
                "this is an EfficientNet-CondConv (a mixture of kernels per image), which is not supported; expected \
                 an EfficientNet, EfficientNet-Lite or EfficientNetV2"
            }
            Self::TransformersBackbone => {
                "this is transformers' EfficientNetModel, which has no classifier; save \
                 EfficientNetForImageClassification instead"
            }
            Self::OpenMmLab => {
                "these are the tensor names of OpenMMLab, which are not supported; expected those of lukemelas, \
                 torchvision, timm, transformers or Keras"
            }
        })
    }
}
