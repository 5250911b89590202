//! The layers whose times are measured, which `bench` reports.

use crate::Block;

/// A part of the network whose time [`Network::profile`](crate::Network::profile) measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layer {
    /// The first convolution.
    Stem,
    /// A block's expansion and depthwise convolution, which are fused.
    Filter(usize),
    /// A block's squeeze-and-excitation, up to the sigmoid.
    Gates(usize),
    /// A block's scaling, projection and skip connection, which are fused, or its only convolution.
    Project(usize),
    /// A block's dense expansion, projection and skip connection, which are fused.
    Fused(usize),
    /// The last convolution and global average pooling.
    Head,
    /// The classifier.
    Classifier,
}

/// The parts of a block whose times are told apart.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Measured {
    /// Filter, gates and projection.
    Gated,
    /// Filter and projection.
    Ungated,
    Fused,
    Convolution,
}

impl Measured {
    pub(crate) fn of(block: &Block<'_>) -> Self {
        match (&block.depthwise, &block.squeeze_excite, &block.expand) {
            (Some(_), Some(_), _) => Self::Gated,
            (Some(_), None, _) => Self::Ungated,
            (None, _, Some(_)) => Self::Fused,
            (None, _, None) => Self::Convolution,
        }
    }

    /// The layers of block `index`, with their part of its three laps.
    pub(crate) fn layers(self, index: usize, [filter, gates, project]: [f64; 3]) -> Vec<(Layer, f64)> {
        let rest = gates + project;
        match self {
            Self::Gated => vec![
                (Layer::Filter(index), filter),
                (Layer::Gates(index), gates),
                (Layer::Project(index), project),
            ],
            Self::Ungated => vec![(Layer::Filter(index), filter), (Layer::Project(index), rest)],
            Self::Fused => vec![(Layer::Fused(index), filter + rest)],
            Self::Convolution => vec![(Layer::Project(index), filter + rest)],
        }
    }
}
