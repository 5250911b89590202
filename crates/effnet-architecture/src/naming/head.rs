//! Finds the classifier among the names of a network.
//!
//! Whoever trains on other classes replaces the classifier, and its name changes with it: `nn.Linear` in place
//! of torchvision's `Sequential`, `Sequential(Dropout, Linear)` in place of timm's `Linear`. All of these are one
//! linear layer after the pooled features, so all are read as one.

use super::{Scheme, TensorShapes};

/// Names of a classifier, besides those of the schemes, as people and libraries call it.
const ROOTS: [&str; 9] = [
    "classifier",
    "_fc",
    "fc",
    "head",
    "last_linear",
    "linear",
    "logits",
    "predictions",
    "dense",
];

/// The name of the linear layer that is the classifier, without `.weight`: the scheme's own, or else the only
/// linear weight under one of the usual names. `None` without a classifier, and where several layers make one.
pub(super) fn classifier(
    shapes: &TensorShapes<'_>,
    scheme: Scheme,
    own: &str,
    features: Option<usize>,
) -> Option<String> {
    let is_linear = |place: &str| {
        let weight = shapes.get(&format!("{place}.weight"));
        weight.is_some_and(|shape| shape.len() == 2)
    };
    let mut places = shapes
        .names()
        .filter_map(|name| name.rsplit_once('.'))
        .map(|(place, _)| place)
        .filter(|place| is_head(scheme, place));
    let first = places.next()?;
    match places.all(|place| place == first).then_some(first) {
        Some(place) if place == own || is_linear(place) => {
            let width = shapes
                .get(&format!("{place}.weight"))
                .and_then(|shape| shape.get(1));
            // Of another name, only a layer on the pooled features can be the classifier.
            let fits = place == own || features.is_none() || width.copied() == features;
            fits.then(|| place.to_owned())
        }
        _ => None,
    }
}

/// Whether a layer belongs to the head of a network: everything after the pooled features.
pub(super) fn is_head(scheme: Scheme, place: &str) -> bool {
    let root = place.split('.').next().unwrap_or_default();
    // lukemelas' own names begin with an underscore, but whoever replaces `_fc` may add a `fc`.
    ROOTS.contains(&root) && !(scheme == Scheme::Torchvision && root == "features")
}
