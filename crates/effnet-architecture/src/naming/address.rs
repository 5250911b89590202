//! Blocks, and the parts of a block, as each scheme names them: one row per part, one column per scheme.

use super::Scheme;

/// One block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) stage: usize,
    /// Number within the stage.
    pub(super) repeat: usize,
    /// Whether it has an expansion.
    pub(super) expanded: bool,
}

/// Parts that every block has; the first two only where it expands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
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
    part: Part,
    lukemelas: &'static str,
    /// In a block with expansion, and in one without.
    torchvision: (&'static str, Option<&'static str>),
    timm: (&'static str, Option<&'static str>),
}

const fn row(
    part: Part,
    lukemelas: &'static str,
    torchvision: (&'static str, Option<&'static str>),
    timm: (&'static str, Option<&'static str>),
) -> Row {
    Row {
        part,
        lukemelas,
        torchvision,
        timm,
    }
}

/// In timm `conv_pw` expands in a block that expands and projects in one that does not, and the batch
/// norms are counted from 1 in each: the same name is not the same part.
const PARTS: [Row; 8] = [
    row(Part::ExpandConv, "_expand_conv", ("0.0", None), ("conv_pw", None)),
    row(Part::ExpandBn, "_bn0", ("0.1", None), ("bn1", None)),
    row(
        Part::DepthwiseConv,
        "_depthwise_conv",
        ("1.0", Some("0.0")),
        ("conv_dw", Some("conv_dw")),
    ),
    row(
        Part::DepthwiseBn,
        "_bn1",
        ("1.1", Some("0.1")),
        ("bn2", Some("bn1")),
    ),
    row(
        Part::SeReduce,
        "_se_reduce",
        ("2.fc1", Some("1.fc1")),
        ("se.conv_reduce", Some("se.conv_reduce")),
    ),
    row(
        Part::SeExpand,
        "_se_expand",
        ("2.fc2", Some("1.fc2")),
        ("se.conv_expand", Some("se.conv_expand")),
    ),
    row(
        Part::ProjectConv,
        "_project_conv",
        ("3.0", Some("2.0")),
        ("conv_pwl", Some("conv_pw")),
    ),
    row(
        Part::ProjectBn,
        "_bn2",
        ("3.1", Some("2.1")),
        ("bn3", Some("bn2")),
    ),
];

/// Where in a block a part is; `None` for an expansion in a block without one.
pub(super) fn part_text(scheme: Scheme, part: Part, expanded: bool) -> Option<&'static str> {
    let row = PARTS.iter().find(|row| row.part == part)?;
    let (with, without) = match scheme {
        Scheme::Lukemelas => {
            let expands = matches!(part, Part::ExpandConv | Part::ExpandBn);
            return (expanded || !expands).then_some(row.lukemelas);
        }
        Scheme::Torchvision => row.torchvision,
        Scheme::Timm => row.timm,
    };
    if expanded { Some(with) } else { without }
}

/// The part that stands at this place in a block.
pub(super) fn part_of(scheme: Scheme, text: &str, expanded: bool) -> Option<Part> {
    PARTS
        .iter()
        .map(|row| row.part)
        .find(|&part| part_text(scheme, part, expanded) == Some(text))
}

/// What stands in front of the parts of a block.
pub(super) fn block_text(scheme: Scheme, index: usize, block: &Block) -> String {
    match scheme {
        Scheme::Lukemelas => format!("_blocks.{index}"),
        Scheme::Torchvision => format!("features.{}.{}.block", block.stage + 1, block.repeat),
        Scheme::Timm => format!("blocks.{}.{}", block.stage, block.repeat),
    }
}

/// Stage and repeat of a block; stage 0 and the running number for lukemelas.
pub(super) type Address = (usize, usize);

/// Splits the place of a block's tensor into the block's address and the part's text.
pub(super) fn split_block(scheme: Scheme, place: &str) -> Option<(Address, &str)> {
    match scheme {
        Scheme::Lukemelas => {
            let (index, part) = place.strip_prefix("_blocks.")?.split_once('.')?;
            Some(((0, number(index)?), part))
        }
        Scheme::Torchvision => {
            let (stage, rest) = place.strip_prefix("features.")?.split_once('.')?;
            let (repeat, rest) = rest.split_once('.')?;
            let stage = number(stage)?.checked_sub(1)?;
            Some(((stage, number(repeat)?), rest.strip_prefix("block.")?))
        }
        Scheme::Timm => {
            let (stage, rest) = place.strip_prefix("blocks.")?.split_once('.')?;
            let (repeat, part) = rest.split_once('.')?;
            Some(((number(stage)?, number(repeat)?), part))
        }
    }
}

/// A number as Python writes it: no sign, no leading zero.
fn number(text: &str) -> Option<usize> {
    let number = text.parse::<usize>().ok()?;
    (number.to_string() == text).then_some(number)
}
