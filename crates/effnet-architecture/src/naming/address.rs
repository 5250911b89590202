//! The names of blocks and of their layers: one row per layer, one column per scheme.

use super::Scheme;
use crate::BlockKind;

/// A block and its position in the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) stage: usize,
    /// Index within the stage.
    pub(super) repeat: usize,
    pub(super) structure: Structure,
    /// Whether the network is a V2, which also decides the name of a layer in Keras.
    pub(super) is_v2: bool,
}

/// What decides the names of a block's layers: its kind and, for MBConv, whether it has an expansion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Structure {
    Separable,
    MbConv,
    FusedMbConv,
    Convolution,
}

impl Structure {
    /// In the order of the columns of [`LAYERS`].
    pub(super) const ALL: [Self; 4] = [
        Self::Separable,
        Self::MbConv,
        Self::FusedMbConv,
        Self::Convolution,
    ];

    pub(super) fn kind(self) -> BlockKind {
        match self {
            Self::Separable | Self::MbConv => BlockKind::MbConv,
            Self::FusedMbConv => BlockKind::FusedMbConv,
            Self::Convolution => BlockKind::Convolution,
        }
    }

    /// Infers the structure from the names of a block's layers.
    pub(super) fn infer(scheme: Scheme, has: impl Fn(&str) -> bool) -> Self {
        // Of each scheme, names that only the structure itself and those before it in the list have.
        let marks: [(&str, Self); 3] = match scheme {
            Scheme::Lukemelas => {
                let separable = has("_depthwise_conv") && !has("_expand_conv");
                return match (separable, has("_depthwise_conv"), has("_expand_conv")) {
                    (true, ..) => Self::Separable,
                    (_, true, _) => Self::MbConv,
                    (_, _, true) => Self::FusedMbConv,
                    _ => Self::Convolution,
                };
            }
            Scheme::Torchvision => [
                ("3.0", Self::MbConv),
                ("2.0", Self::Separable),
                ("1.0", Self::FusedMbConv),
            ],
            // It has no networks with other blocks.
            Scheme::Transformers if has("expansion.expand_conv") => return Self::MbConv,
            Scheme::Transformers => return Self::Separable,
            Scheme::Keras => {
                let depthwise = ["dwconv", DEPTHWISE_OF_KERAS_V2, "bn"].into_iter().any(&has);
                return match (depthwise, has("expand_conv")) {
                    (true, true) => Self::MbConv,
                    (true, false) => Self::Separable,
                    (false, true) => Self::FusedMbConv,
                    (false, false) => Self::Convolution,
                };
            }
            Scheme::Timm => [
                ("conv_exp", Self::FusedMbConv),
                ("conv_pwl", Self::MbConv),
                ("conv_dw", Self::Separable),
            ],
        };
        let mark = marks.into_iter().find(|(layer, _)| has(layer));
        mark.map_or(Self::Convolution, |(_, structure)| structure)
    }
}

/// Name of the depthwise convolution in Keras's networks of V2.
const DEPTHWISE_OF_KERAS_V2: &str = "dwconv2";

/// The layers of a block.
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
    torchvision: Cells,
    timm: Cells,
    /// The names in transformers, whose networks consist of the first two structures, and in Keras.
    transformers: &'static str,
    keras: &'static str,
}

/// The names in blocks of each [`Structure`]; empty where a structure does not have the layer.
type Cells = [&'static str; 4];

const fn row(
    layer: BlockLayer,
    [lukemelas, transformers, keras]: [&'static str; 3],
    torchvision: Cells,
    timm: Cells,
) -> Row {
    Row {
        layer,
        lukemelas,
        torchvision,
        timm,
        transformers,
        keras,
    }
}

/// The names of each layer. The same name is not always the same layer: timm's `conv_pw` is the expansion in
/// blocks with one and the projection in blocks without, and its batch norms are counted from 1 in all.
#[rustfmt::skip]
const LAYERS: [Row; 8] = [
    row(BlockLayer::ExpandConv, ["_expand_conv", "expansion.expand_conv", "expand_conv"],
        ["", "0.0", "0.0", ""], ["", "conv_pw", "conv_exp", ""]),
    row(BlockLayer::ExpandBn, ["_bn0", "expansion.expand_bn", "expand_bn"],
        ["", "0.1", "0.1", ""], ["", "bn1", "bn1", ""]),
    row(BlockLayer::DepthwiseConv, ["_depthwise_conv", "depthwise_conv.depthwise_conv", "dwconv"],
        ["0.0", "1.0", "", ""], ["conv_dw", "conv_dw", "", ""]),
    row(BlockLayer::DepthwiseBn, ["_bn1", "depthwise_conv.depthwise_norm", "bn"],
        ["0.1", "1.1", "", ""], ["bn1", "bn2", "", ""]),
    row(BlockLayer::SeReduce, ["_se_reduce", "squeeze_excite.reduce", "se_reduce"],
        ["1.fc1", "2.fc1", "", ""], ["se.conv_reduce", "se.conv_reduce", "", ""]),
    row(BlockLayer::SeExpand, ["_se_expand", "squeeze_excite.expand", "se_expand"],
        ["1.fc2", "2.fc2", "", ""], ["se.conv_expand", "se.conv_expand", "", ""]),
    row(BlockLayer::ProjectConv, ["_project_conv", "projection.project_conv", "project_conv"],
        ["2.0", "3.0", "1.0", "0.0"], ["conv_pw", "conv_pwl", "conv_pwl", "conv"]),
    row(BlockLayer::ProjectBn, ["_bn2", "projection.project_bn", "project_bn"],
        ["2.1", "3.1", "1.1", "0.1"], ["bn2", "bn3", "bn2", "bn1"]),
];

/// Returns the name of a layer within its block, or `None` if such blocks do not have the layer.
pub(super) fn layer_text(scheme: Scheme, layer: BlockLayer, block: &Block) -> Option<&'static str> {
    let text = text_of(scheme, layer, block.structure)?;
    let differs = block.is_v2 && (scheme, layer) == (Scheme::Keras, BlockLayer::DepthwiseConv);
    Some(if differs { DEPTHWISE_OF_KERAS_V2 } else { text })
}

fn text_of(scheme: Scheme, layer: BlockLayer, structure: Structure) -> Option<&'static str> {
    let row = LAYERS.iter().find(|row| row.layer == layer)?;
    let column = Structure::ALL.iter().position(|&other| other == structure)?;
    let cell = match scheme {
        _ if row.timm[column].is_empty() => "",
        Scheme::Lukemelas => row.lukemelas,
        Scheme::Transformers if column > 1 => "",
        Scheme::Transformers => row.transformers,
        Scheme::Keras => row.keras,
        Scheme::Torchvision => row.torchvision[column],
        Scheme::Timm => row.timm[column],
    };
    (!cell.is_empty()).then_some(cell)
}

/// Returns the layer with this name within its block.
pub(super) fn layer_of(scheme: Scheme, text: &str, block: &Block) -> Option<BlockLayer> {
    LAYERS
        .iter()
        .map(|row| row.layer)
        .find(|&layer| layer_text(scheme, layer, block) == Some(text))
}

/// Whether a layer with this name belongs to squeeze-and-excitation in a block of any structure.
pub(super) fn is_squeeze_excite(scheme: Scheme, text: &str) -> bool {
    let layers = [BlockLayer::SeReduce, BlockLayer::SeExpand];
    Structure::ALL.into_iter().any(|structure| {
        let is_it = |&layer: &BlockLayer| text_of(scheme, layer, structure) == Some(text);
        layers.iter().any(is_it)
    })
}

/// Returns the prefix of the names of a block's layers.
pub(super) fn block_text(scheme: Scheme, index: usize, block: &Block) -> String {
    match scheme {
        Scheme::Lukemelas => format!("_blocks.{index}"),
        Scheme::Torchvision => format!("features.{}.{}.block", block.stage + 1, block.repeat),
        Scheme::Timm => format!("blocks.{}.{}", block.stage, block.repeat),
        Scheme::Transformers => format!("efficientnet.encoder.blocks.{index}"),
        Scheme::Keras => format!("block{}{}", block.stage + 1, letters(block.repeat)),
    }
}

/// Returns the path of a layer of a block.
pub(super) fn place_in_block(scheme: Scheme, index: usize, block: &Block, layer: &str) -> String {
    let separator = if scheme == Scheme::Keras { '_' } else { '.' };
    format!("{}{separator}{layer}", block_text(scheme, index, block))
}

/// The number of a block within its stage as Keras writes it, in letters; a `+` beyond `z`, which Keras would not
/// write either.
pub(super) fn letters(repeat: usize) -> char {
    let letter = u8::try_from(repeat)
        .ok()
        .and_then(|repeat| repeat.checked_add(b'a'));
    letter.filter(u8::is_ascii_lowercase).map_or('+', char::from)
}

/// The stage of a block and its index within the stage; for lukemelas and transformers, stage 0 and the consecutive
/// number.
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
        Scheme::Transformers => {
            let (index, layer) = place
                .strip_prefix("efficientnet.encoder.blocks.")?
                .split_once('.')?;
            Some(((0, number(index)?), layer))
        }
        Scheme::Keras => {
            let (block, layer) = place.strip_prefix("block")?.split_once('_')?;
            let repeat = block.chars().last().filter(char::is_ascii_lowercase)?;
            let stage = number(block.strip_suffix(repeat)?)?.checked_sub(1)?;
            Some(((stage, repeat as usize - 'a' as usize), layer))
        }
    }
}

/// Parses a number as Python writes it, without a sign or leading zeros.
fn number(text: &str) -> Option<usize> {
    let number = text.parse::<usize>().ok()?;
    (number.to_string() == text).then_some(number)
}
