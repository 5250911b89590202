//! Maps names to layers and back, for layers outside the blocks and layers of a block.

use super::Scheme;
pub(super) use super::address::block_text;
pub(super) use super::address::layer_text;
use super::address::{BlockLayer, layer_of, split_block};
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

/// The names in lukemelas and timm. torchvision numbers its layers, and the head's number depends on the number of
/// stages.
const OUTER_LAYERS: [(OuterLayer, &str, &str); 5] = [
    (OuterLayer::StemConv, "_conv_stem", "conv_stem"),
    (OuterLayer::StemBn, "_bn0", "bn1"),
    (OuterLayer::HeadConv, "_conv_head", "conv_head"),
    (OuterLayer::HeadBn, "_bn1", "bn2"),
    (OuterLayer::Classifier, "_fc", "classifier"),
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
            let text = row.map(|row| if scheme == Scheme::Timm { row.2 } else { row.1 });
            text.unwrap_or_default().to_owned()
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
        let layer = layer_of(scheme, text, layout.block(index)?.structure)?;
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
