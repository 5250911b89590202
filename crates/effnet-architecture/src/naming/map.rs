//! Maps names to layers and back, for layers outside the blocks and layers of a block.

use super::Scheme;
use super::address::{BlockLayer, layer_of, split_block};
pub(super) use super::address::{layer_text, place_in_block};
use super::head;
use super::layout::Layout;
use super::{NamingError, TensorShapes};

/// The layers outside the blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OuterLayer {
    StemConv,
    StemBn,
    HeadConv,
    HeadBn,
    Classifier,
}

/// A parsed name: the layer, and the last part, such as `weight` or `running_mean`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name<'a> {
    pub(super) role: Role,
    pub(super) leaf: &'a str,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Role {
    Outer(OuterLayer),
    /// A layer of a head that is more than a classifier.
    Head,
    /// Blocks are numbered consecutively, as in lukemelas.
    Block {
        index: usize,
        layer: BlockLayer,
    },
}

/// The names in lukemelas, timm, transformers and Keras. torchvision numbers its layers, and the head's number depends on the number of
/// stages.
#[rustfmt::skip]
const OUTER_LAYERS: [(OuterLayer, [&str; 4]); 5] = [
    (OuterLayer::StemConv, ["_conv_stem", "conv_stem", "efficientnet.embeddings.convolution", "stem_conv"]),
    (OuterLayer::StemBn, ["_bn0", "bn1", "efficientnet.embeddings.batchnorm", "stem_bn"]),
    (OuterLayer::HeadConv, ["_conv_head", "conv_head", "efficientnet.encoder.top_conv", "top_conv"]),
    (OuterLayer::HeadBn, ["_bn1", "bn2", "efficientnet.encoder.top_bn", "top_bn"]),
    (OuterLayer::Classifier, ["_fc", "classifier", "classifier", "predictions"]),
];

pub(super) fn outer_text(scheme: Scheme, layer: OuterLayer, layout: &Layout) -> String {
    let head = layout.stages() + 1;
    match (scheme, layer) {
        (Scheme::Torchvision, OuterLayer::StemConv) => "features.0.0".to_owned(),
        (Scheme::Torchvision, OuterLayer::StemBn) => "features.0.1".to_owned(),
        (Scheme::Torchvision, OuterLayer::HeadConv) => format!("features.{head}.0"),
        (Scheme::Torchvision, OuterLayer::HeadBn) => format!("features.{head}.1"),
        (Scheme::Torchvision, OuterLayer::Classifier) => "classifier.1".to_owned(),
        _ => {
            let row = OUTER_LAYERS.iter().find(|row| row.0 == layer);
            let column = match scheme {
                Scheme::Lukemelas | Scheme::Torchvision => 0,
                Scheme::Timm => 1,
                Scheme::Transformers => 2,
                Scheme::Keras => 3,
            };
            row.map_or(String::new(), |row| row.1[column].to_owned())
        }
    }
}

/// Reads the layout of these tensors, including the name of their classifier.
///
/// # Errors
/// Same as [`Layout::read`].
pub(super) fn read_layout(
    shapes: &TensorShapes<'_>,
    scheme: Scheme,
    repeats: Option<&[usize]>,
) -> Result<Layout, NamingError> {
    let mut layout = Layout::read(shapes, scheme, repeats)?;
    let own = outer_text(scheme, OuterLayer::Classifier, &layout);
    let head = shapes.get(&format!(
        "{}.weight",
        outer_text(scheme, OuterLayer::HeadConv, &layout)
    ));
    let features = head.and_then(|shape| shape.first().copied());
    let place = head::classifier(shapes, scheme, &own, features);
    layout.set_classifier(place.filter(|place| *place != own));
    Ok(layout)
}

/// Returns the name of the classifier's layer in the scheme that the layout was read from.
pub(super) fn classifier_text(scheme: Scheme, layout: &Layout) -> String {
    match layout.classifier() {
        Some(place) => place.to_owned(),
        None => outer_text(scheme, OuterLayer::Classifier, layout),
    }
}

/// Parses a name. Returns `None` if it does not belong to the scheme.
pub(super) fn parse<'a>(scheme: Scheme, name: &'a str, layout: &Layout) -> Option<Name<'a>> {
    let (place, leaf) = name.rsplit_once('.')?;
    if let Some((address, text)) = split_block(scheme, place) {
        let index = layout.find(address)?;
        let layer = layer_of(scheme, text, layout.block(index)?)?;
        return Some(Name {
            role: Role::Block { index, layer },
            leaf,
        });
    }
    if place == classifier_text(scheme, layout) {
        let role = Role::Outer(OuterLayer::Classifier);
        return Some(Name { role, leaf });
    }
    let layer = OUTER_LAYERS
        .iter()
        .map(|row| row.0)
        .find(|&layer| layer != OuterLayer::Classifier && outer_text(scheme, layer, layout) == place);
    match layer {
        Some(layer) => Some(Name {
            role: Role::Outer(layer),
            leaf,
        }),
        None => head::is_head(scheme, place).then_some(Name {
            role: Role::Head,
            leaf,
        }),
    }
}
