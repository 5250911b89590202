//! Keras's numbers of layers.
//!
//! A `.weights.h5` does not name a layer as the network does, but by its class and its place among the layers of this
//! class: `conv2d_3`. The layers of `EfficientNetB0` to `B7` and `EfficientNetV2` follow each other in the order of the
//! calculation, so a walk through the blocks finds the role of each, and the shapes confirm it.

use std::collections::BTreeMap;

use super::address::BlockLayer;
use super::map::{Name, OuterLayer, Role, parse, read_layout};
use super::{NamingError, Scheme, TensorShapes};
use crate::BlockKind;

/// The names of a layer in a file, and in the network.
type Renamed = (String, String);

/// The layers of one class, in order.
type Queue<'a> = std::vec::IntoIter<Layer<'a>>;

#[derive(Debug, Clone, Copy)]
struct Layer<'a> {
    place: &'a str,
    shape: &'a [usize],
}

/// Finds the role of numbered layers. Returns the name of each layer in the file and its name in [`Scheme::Keras`],
/// both without the part after the last dot; `None` if the layers have no numbers. Layers of a classifier outside
/// the network are included if there is only one.
///
/// # Errors
/// [`NamingError::Order`] if the layers are not those of an EfficientNet, in its order.
pub fn name_keras_layers(shapes: &TensorShapes<'_>) -> Result<Option<Vec<Renamed>>, NamingError> {
    let layers = numbered_layers(shapes);
    let mut of_network = layers.keys().filter(|key| key.1 == "depthwise_conv2d");
    let Some((prefix, ..)) = of_network.next() else {
        return Ok(None);
    };
    if let Some((_, _, number)) = of_network.find(|key| key.0 != *prefix) {
        let first = layers.get(&(*prefix, "depthwise_conv2d", *number));
        let layer = first.map_or("depthwise_conv2d", |layer| layer.place).to_owned();
        return Err(order(layer, "the layers of one network"));
    }
    let queue = |class: &str| -> Queue<'_> {
        let found = layers
            .iter()
            .filter(|(key, _)| key.0 == *prefix && key.1 == class);
        found.map(|(_, layer)| *layer).collect::<Vec<_>>().into_iter()
    };
    let mut walk = Walk {
        convolutions: queue("conv2d"),
        norms: queue("batch_normalization"),
        renamed: Vec::new(),
    };
    walk.network(queue("depthwise_conv2d"))?;
    let mut renamed = walk.renamed;
    let dense: Vec<_> = layers.iter().filter(|(key, _)| key.1 == "dense").collect();
    if let [(_, dense)] = dense[..] {
        renamed.push((dense.place.to_owned(), "predictions".to_owned()));
    }
    let norms = layers.iter().filter(|(key, _)| key.1 == "normalization");
    renamed.extend(norms.map(|(_, norm)| (norm.place.to_owned(), "normalization".to_owned())));
    Ok(Some(renamed))
}

/// The numbered layers of a file, by the models around them, their class and their number.
fn numbered_layers<'a>(shapes: &TensorShapes<'a>) -> BTreeMap<(&'a str, &'a str, usize), Layer<'a>> {
    let mut layers = BTreeMap::new();
    for name in shapes.names() {
        let Some((place, leaf)) = name.rsplit_once('.') else {
            continue;
        };
        let (prefix, layer) = place.rsplit_once('.').unwrap_or(("", place));
        let (class, number) = match layer
            .rsplit_once('_')
            .map(|(class, number)| (class, number.parse()))
        {
            Some((class, Ok(number))) => (class, number),
            _ => (layer, 0),
        };
        let classes = [
            "conv2d",
            "depthwise_conv2d",
            "batch_normalization",
            "dense",
            "normalization",
        ];
        if classes.contains(&class) && matches!(leaf, "weight" | "mean") {
            let shape = shapes.get(name).unwrap_or_default();
            layers.insert((prefix, class, number), Layer { place, shape });
        }
    }
    layers
}

fn order(layer: String, expected: &'static str) -> NamingError {
    NamingError::Order { layer, expected }
}

/// What the blocks of a stage have in common: structure, kernel size, width and expansion ratio.
type Kind = (BlockKind, usize, usize, usize);

/// The stage and the place of the last block.
#[derive(Debug, Default)]
struct Stages {
    number: usize,
    repeat: usize,
    kind: Option<Kind>,
}

impl Stages {
    /// Puts the name of the next block in front of the names of its layers.
    fn name(&mut self, kind: Kind, layers: &mut [Renamed]) {
        (self.number, self.repeat) = if self.kind == Some(kind) {
            (self.number, self.repeat + 1)
        } else {
            (self.number + 1, 0)
        };
        self.kind = Some(kind);
        let (stage, letter) = (self.number, super::address::letters(self.repeat));
        for (_, layer) in layers {
            *layer = format!("block{stage}{letter}_{layer}");
        }
    }
}

struct Walk<'a> {
    convolutions: Queue<'a>,
    norms: Queue<'a>,
    renamed: Vec<Renamed>,
}

impl Walk<'_> {
    fn network(&mut self, depthwise: Queue<'_>) -> Result<(), NamingError> {
        let mut width = self.convolution("stem_conv", |[_, inputs, ..]| inputs <= 4)?[0];
        self.norm("stem_bn", width)?;
        let mut stages = Stages::default();
        while self.next_kernel().is_some_and(|kernel| kernel > 1) {
            width = self.fused(width, &mut stages)?;
        }
        let depthwise_role = if stages.number > 0 { "dwconv2" } else { "dwconv" };
        for layer in depthwise {
            let &[channels, 1, kernel, _] = layer.shape else {
                return Err(order(layer.place.to_owned(), "a depthwise convolution"));
            };
            // The names of a block depend on its stage, which its last layer decides.
            let start = self.renamed.len();
            let ratio = channels / width.max(1);
            if channels != width {
                self.convolution("expand_conv", |[out, inputs, ..]| {
                    (out, inputs) == (channels, width)
                })?;
                self.norm("expand_bn", channels)?;
            }
            self.renamed
                .push((layer.place.to_owned(), depthwise_role.to_owned()));
            self.norm("bn", channels)?;
            let squeezed = self.convolution("se_reduce", |[_, inputs, ..]| inputs == channels)?[0];
            self.convolution("se_expand", |[out, inputs, ..]| {
                (out, inputs) == (channels, squeezed)
            })?;
            width = self.convolution("project_conv", |[_, inputs, ..]| inputs == channels)?[0];
            self.norm("project_bn", width)?;
            let kind = (BlockKind::MbConv, kernel, width, ratio);
            stages.name(kind, &mut self.renamed[start..]);
        }
        let head = self.convolution("top_conv", |[_, inputs, ..]| inputs == width)?[0];
        self.norm("top_bn", head)?;
        match self.convolutions.next().or(self.norms.next()) {
            Some(layer) => Err(order(layer.place.to_owned(), "no further layer of its class")),
            None => Ok(()),
        }
    }

    /// The size of the next convolution's kernel.
    fn next_kernel(&self) -> Option<usize> {
        let layer = self.convolutions.as_slice().first()?;
        layer.shape.get(2).copied()
    }

    /// Takes a block without a depthwise convolution and returns its width. Where it expands, a pointwise convolution
    /// of all its channels to fewer follows.
    fn fused(&mut self, width: usize, stages: &mut Stages) -> Result<usize, NamingError> {
        let start = self.renamed.len();
        let narrows = match self.convolutions.as_slice() {
            [first, second, ..] => match (first.shape, second.shape) {
                (&[channels, ..], &[out, inputs, 1, 1]) => inputs == channels && out < channels,
                _ => false,
            },
            _ => false,
        };
        let role = if narrows { "expand_conv" } else { "project_conv" };
        let [channels, _, kernel, _] = self.convolution(role, |[_, inputs, ..]| inputs == width)?;
        if !narrows {
            self.norm("project_bn", channels)?;
            stages.name(
                (BlockKind::Convolution, kernel, channels, 1),
                &mut self.renamed[start..],
            );
            return Ok(channels);
        }
        self.norm("expand_bn", channels)?;
        let out = self.convolution("project_conv", |[_, inputs, ..]| inputs == channels)?[0];
        self.norm("project_bn", out)?;
        let kind = (BlockKind::FusedMbConv, kernel, out, channels / width.max(1));
        stages.name(kind, &mut self.renamed[start..]);
        Ok(out)
    }

    /// Takes the next convolution and checks its shape, `[out, in, height, width]`.
    fn convolution(
        &mut self,
        role: &'static str,
        fits: impl Fn([usize; 4]) -> bool,
    ) -> Result<[usize; 4], NamingError> {
        let layer = self.convolutions.next();
        let layer = layer.ok_or_else(|| order("conv2d".to_owned(), "more convolutions"))?;
        let shape = <[usize; 4]>::try_from(layer.shape)
            .ok()
            .filter(|shape| fits(*shape));
        let shape = shape.ok_or_else(|| order(layer.place.to_owned(), role))?;
        self.renamed.push((layer.place.to_owned(), role.to_owned()));
        Ok(shape)
    }

    fn norm(&mut self, role: &'static str, channels: usize) -> Result<(), NamingError> {
        let layer = self.norms.next();
        let layer = layer.ok_or_else(|| order("batch_normalization".to_owned(), "more batch norms"))?;
        if layer.shape != [channels] {
            return Err(order(layer.place.to_owned(), role));
        }
        self.renamed.push((layer.place.to_owned(), role.to_owned()));
        Ok(())
    }
}

/// Numbers the layers of a network whose names follow [`Scheme::Keras`]. Returns each name of a tensor and the name
/// with the number, in the order of the calculation. Counters, which Keras does not have, are left out.
///
/// # Errors
/// [`NamingError`] if the names are not those of a complete network.
pub fn number_keras_layers(shapes: &TensorShapes<'_>) -> Result<Vec<Renamed>, NamingError> {
    let layout = read_layout(shapes, Scheme::Keras, None)?;
    let mut places: BTreeMap<(usize, usize), Vec<(&str, &str)>> = BTreeMap::new();
    for name in shapes.names() {
        let Some(Name { role, leaf }) = parse(Scheme::Keras, name, &layout) else {
            continue;
        };
        if leaf == "num_batches_tracked" {
            continue;
        }
        let place = match role {
            Role::Outer(OuterLayer::StemConv) => (0, 0),
            Role::Outer(OuterLayer::StemBn) => (0, 1),
            Role::Block { index, layer } => (1 + index, layer as usize),
            Role::Outer(OuterLayer::HeadConv) => (usize::MAX, 0),
            Role::Outer(OuterLayer::HeadBn) => (usize::MAX, 1),
            Role::Outer(OuterLayer::Classifier) => (usize::MAX, 2),
            Role::Head => continue,
        };
        places.entry(place).or_default().push((name, leaf));
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut renamed = Vec::new();
    for (place, tensors) in &places {
        let class = class(*place);
        let count = counts.entry(class).or_default();
        let layer = if *count == 0 {
            class.to_owned()
        } else {
            format!("{class}_{count}")
        };
        *count += 1;
        renamed.extend(
            tensors
                .iter()
                .map(|(name, leaf)| ((*name).to_owned(), format!("{layer}.{leaf}"))),
        );
    }
    Ok(renamed)
}

/// The class of a layer at a place in the calculation.
fn class((group, place): (usize, usize)) -> &'static str {
    const NORMS: [usize; 3] = [
        BlockLayer::ExpandBn as usize,
        BlockLayer::DepthwiseBn as usize,
        BlockLayer::ProjectBn as usize,
    ];
    match (group, place) {
        (usize::MAX, 2) => "dense",
        (0 | usize::MAX, place) => ["conv2d", "batch_normalization"][place.min(1)],
        (_, place) if NORMS.contains(&place) => "batch_normalization",
        (_, place) if place == BlockLayer::DepthwiseConv as usize => "depthwise_conv2d",
        _ => "conv2d",
    }
}
