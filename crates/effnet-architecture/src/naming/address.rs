//! The names of blocks and of their layers: one row per layer, one column per scheme.

use super::Scheme;

/// A block and its position in the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) stage: usize,
    /// Index within the stage.
    pub(super) repeat: usize,
    /// Whether the block has an expansion convolution.
    pub(super) expanded: bool,
}

/// The layers of a block. The first two exist only in blocks with an expansion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockLayer {
    ExpandConv,
    ExpandBn,
    DepthwiseConv,
    DepthwiseBn,
    SeReduce,
    SeExpand,
    ProjectConv,
    ProjectBn,
}

struct Row {
    layer: BlockLayer,
    lukemelas: &'static str,
    /// The names in blocks with an expansion and in blocks without.
    torchvision: (&'static str, Option<&'static str>),
    timm: (&'static str, Option<&'static str>),
}

const fn row(
    layer: BlockLayer,
    lukemelas: &'static str,
    torchvision: (&'static str, Option<&'static str>),
    timm: (&'static str, Option<&'static str>),
) -> Row {
    Row {
        layer,
        lukemelas,
        torchvision,
        timm,
    }
}

/// The names of each layer. The same name is not always the same layer: timm's `conv_pw` is the expansion in
/// blocks with one and the projection in blocks without, and its batch norms are counted from 1 in both.
const LAYERS: [Row; 8] = [
    row(
        BlockLayer::ExpandConv,
        "_expand_conv",
        ("0.0", None),
        ("conv_pw", None),
    ),
    row(BlockLayer::ExpandBn, "_bn0", ("0.1", None), ("bn1", None)),
    row(
        BlockLayer::DepthwiseConv,
        "_depthwise_conv",
        ("1.0", Some("0.0")),
        ("conv_dw", Some("conv_dw")),
    ),
    row(
        BlockLayer::DepthwiseBn,
        "_bn1",
        ("1.1", Some("0.1")),
        ("bn2", Some("bn1")),
    ),
    row(
        BlockLayer::SeReduce,
        "_se_reduce",
        ("2.fc1", Some("1.fc1")),
        ("se.conv_reduce", Some("se.conv_reduce")),
    ),
    row(
        BlockLayer::SeExpand,
        "_se_expand",
        ("2.fc2", Some("1.fc2")),
        ("se.conv_expand", Some("se.conv_expand")),
    ),
    row(
        BlockLayer::ProjectConv,
        "_project_conv",
        ("3.0", Some("2.0")),
        ("conv_pwl", Some("conv_pw")),
    ),
    row(
        BlockLayer::ProjectBn,
        "_bn2",
        ("3.1", Some("2.1")),
        ("bn3", Some("bn2")),
    ),
];

/// Returns the name of a layer within its block, or `None` for an expansion in a block without one.
pub(super) fn layer_text(scheme: Scheme, layer: BlockLayer, expanded: bool) -> Option<&'static str> {
    let row = LAYERS.iter().find(|row| row.layer == layer)?;
    let (with, without) = match scheme {
        Scheme::Lukemelas => {
            let expands = matches!(layer, BlockLayer::ExpandConv | BlockLayer::ExpandBn);
            return (expanded || !expands).then_some(row.lukemelas);
        }
        Scheme::Torchvision => row.torchvision,
        Scheme::Timm => row.timm,
    };
    if expanded { Some(with) } else { without }
}

/// Returns the layer with this name within its block.
pub(super) fn layer_of(scheme: Scheme, text: &str, expanded: bool) -> Option<BlockLayer> {
    LAYERS
        .iter()
        .map(|row| row.layer)
        .find(|&layer| layer_text(scheme, layer, expanded) == Some(text))
}

/// Returns the prefix of the names of a block's layers.
pub(super) fn block_text(scheme: Scheme, index: usize, block: &Block) -> String {
    match scheme {
        Scheme::Lukemelas => format!("_blocks.{index}"),
        Scheme::Torchvision => format!("features.{}.{}.block", block.stage + 1, block.repeat),
        Scheme::Timm => format!("blocks.{}.{}", block.stage, block.repeat),
    }
}

/// The stage of a block and its index within the stage; for lukemelas, stage 0 and the consecutive number.
pub(super) type Address = (usize, usize);

/// Splits the path of a layer into the address of its block and the layer's name within the block.
pub(super) fn split_block(scheme: Scheme, place: &str) -> Option<(Address, &str)> {
    match scheme {
        Scheme::Lukemelas => {
            let (index, layer) = place.strip_prefix("_blocks.")?.split_once('.')?;
            Some(((0, number(index)?), layer))
        }
        Scheme::Torchvision => {
            let (stage, rest) = place.strip_prefix("features.")?.split_once('.')?;
            let (repeat, rest) = rest.split_once('.')?;
            let stage = number(stage)?.checked_sub(1)?;
            Some(((stage, number(repeat)?), rest.strip_prefix("block.")?))
        }
        Scheme::Timm => {
            let (stage, rest) = place.strip_prefix("blocks.")?.split_once('.')?;
            let (repeat, layer) = rest.split_once('.')?;
            Some(((number(stage)?, number(repeat)?), layer))
        }
    }
}

/// Parses a number as Python writes it, without a sign or leading zeros.
fn number(text: &str) -> Option<usize> {
    let number = text.parse::<usize>().ok()?;
    (number.to_string() == text).then_some(number)
}
