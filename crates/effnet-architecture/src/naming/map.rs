//! From names to places in a network and back: what the network has once, and its blocks.

use super::Scheme;
pub(super) use super::address::block_text;
pub(super) use super::address::part_text;
use super::address::{Part, part_of, split_block};
use super::layout::Layout;

/// Parts that the network has once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Top {
    StemConv,
    StemBn,
    HeadConv,
    HeadBn,
    Classifier,
}

/// A tensor's place: the part, and `weight`, `running_mean`, ...
#[derive(Debug, Clone, Copy)]
pub(super) struct Name<'a> {
    pub(super) role: Role,
    pub(super) leaf: &'a str,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Role {
    Top(Top),
    /// Blocks are numbered through the network, as lukemelas does.
    Block {
        index: usize,
        part: Part,
    },
}

/// lukemelas, timm. torchvision's are numbers, of which the head's depends on the number of stages.
const TOPS: [(Top, &str, &str); 5] = [
    (Top::StemConv, "_conv_stem", "conv_stem"),
    (Top::StemBn, "_bn0", "bn1"),
    (Top::HeadConv, "_conv_head", "conv_head"),
    (Top::HeadBn, "_bn1", "bn2"),
    (Top::Classifier, "_fc", "classifier"),
];

pub(super) fn top_text(scheme: Scheme, top: Top, layout: &Layout) -> String {
    let head = layout.stages() + 1;
    match (scheme, top) {
        (Scheme::Torchvision, Top::StemConv) => "features.0.0".to_owned(),
        (Scheme::Torchvision, Top::StemBn) => "features.0.1".to_owned(),
        (Scheme::Torchvision, Top::HeadConv) => format!("features.{head}.0"),
        (Scheme::Torchvision, Top::HeadBn) => format!("features.{head}.1"),
        (Scheme::Torchvision, Top::Classifier) => "classifier.1".to_owned(),
        _ => {
            let row = TOPS.iter().find(|row| row.0 == top);
            let text = row.map(|row| if scheme == Scheme::Timm { row.2 } else { row.1 });
            text.unwrap_or_default().to_owned()
        }
    }
}

/// The place that a name tells; `None` for a name that the scheme does not have.
pub(super) fn parse<'a>(scheme: Scheme, name: &'a str, layout: &Layout) -> Option<Name<'a>> {
    let (place, leaf) = name.rsplit_once('.')?;
    if let Some((address, text)) = split_block(scheme, place) {
        let index = layout.find(address)?;
        let part = part_of(scheme, text, layout.block(index)?.expanded)?;
        return Some(Name {
            role: Role::Block { index, part },
            leaf,
        });
    }
    let tops = TOPS.iter().map(|row| row.0);
    let top = tops
        .into_iter()
        .find(|&top| top_text(scheme, top, layout) == place)?;
    Some(Name {
        role: Role::Top(top),
        leaf,
    })
}
