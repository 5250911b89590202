//! The networks that are scaled: one table of stages each.
//!
//! Every variant is a baseline, its number of channels multiplied by one coefficient and its number of blocks by
//! another. Names, shapes, costs, the CPU engine and the tch modules all follow from these tables.

use crate::Family;

/// The network that a variant is scaled from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum Baseline {
    /// EfficientNet-B0 (arXiv:1905.11946, table 1).
    #[default]
    B0,
    /// EfficientNet-Lite0: the stages of B0 without squeeze-and-excitation.
    Lite0,
    /// EfficientNetV2-B0 (`v2_base_block` in google/automl).
    V2B0,
    /// EfficientNetV2-S (arXiv:2104.00298, table 4).
    V2S,
    /// EfficientNetV2-M (`v2_m_block` in google/automl).
    V2M,
    /// EfficientNetV2-L (`v2_l_block` in google/automl).
    V2L,
    /// EfficientNetV2-XL (`v2_xl_block` in google/automl).
    V2Xl,
    /// timm's own V2-S, from before the official code: its first stage has two convolutions per block, and its last
    /// stage and head are wider.
    V2RwS,
    /// timm's own V2-M: the stages of [`V2RwS`](Self::V2RwS) with a number of blocks that grows more in the last two
    /// stages.
    V2RwM,
}

/// The structure of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BlockKind {
    /// MBConv: expansion, depthwise convolution, projection. Without an expansion, it is a depthwise-separable
    /// convolution.
    MbConv,
    /// Fused-MBConv: a dense convolution that expands, and a projection.
    FusedMbConv,
    /// A dense convolution, followed by the activation: Fused-MBConv with an expansion ratio of one.
    Convolution,
}

/// One stage of a baseline network, before scaling.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BaselineStage {
    pub(crate) kind: BlockKind,
    pub(crate) repeats: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) expand_ratio: usize,
    pub(crate) channels: usize,
}

/// A stage with this many blocks, kernel size, stride, expansion ratio and channels.
const fn stage(
    kind: BlockKind,
    [repeats, kernel, stride, expand_ratio, channels]: [usize; 5],
) -> BaselineStage {
    BaselineStage {
        kind,
        repeats,
        kernel,
        stride,
        expand_ratio,
        channels,
    }
}

const fn mb(row: [usize; 5]) -> BaselineStage {
    stage(BlockKind::MbConv, row)
}

const fn fused(row: [usize; 5]) -> BaselineStage {
    stage(BlockKind::FusedMbConv, row)
}

const fn conv(row: [usize; 5]) -> BaselineStage {
    stage(BlockKind::Convolution, row)
}

/// Blocks, kernel size, stride, expansion ratio, channels.
const B0: [BaselineStage; 7] = [
    mb([1, 3, 1, 1, 16]),
    mb([2, 3, 2, 6, 24]),
    mb([2, 5, 2, 6, 40]),
    mb([3, 3, 2, 6, 80]),
    mb([3, 5, 1, 6, 112]),
    mb([4, 5, 2, 6, 192]),
    mb([1, 3, 1, 6, 320]),
];

const V2_B0: [BaselineStage; 6] = [
    conv([1, 3, 1, 1, 16]),
    fused([2, 3, 2, 4, 32]),
    fused([2, 3, 2, 4, 48]),
    mb([3, 3, 2, 4, 96]),
    mb([5, 3, 1, 6, 112]),
    mb([8, 3, 2, 6, 192]),
];

const V2_S: [BaselineStage; 6] = [
    conv([2, 3, 1, 1, 24]),
    fused([4, 3, 2, 4, 48]),
    fused([4, 3, 2, 4, 64]),
    mb([6, 3, 2, 4, 128]),
    mb([9, 3, 1, 6, 160]),
    mb([15, 3, 2, 6, 256]),
];

const V2_M: [BaselineStage; 7] = [
    conv([3, 3, 1, 1, 24]),
    fused([5, 3, 2, 4, 48]),
    fused([5, 3, 2, 4, 80]),
    mb([7, 3, 2, 4, 160]),
    mb([14, 3, 1, 6, 176]),
    mb([18, 3, 2, 6, 304]),
    mb([5, 3, 1, 6, 512]),
];

const V2_L: [BaselineStage; 7] = [
    conv([4, 3, 1, 1, 32]),
    fused([7, 3, 2, 4, 64]),
    fused([7, 3, 2, 4, 96]),
    mb([10, 3, 2, 4, 192]),
    mb([19, 3, 1, 6, 224]),
    mb([25, 3, 2, 6, 384]),
    mb([7, 3, 1, 6, 640]),
];

const V2_XL: [BaselineStage; 7] = [
    conv([4, 3, 1, 1, 32]),
    fused([8, 3, 2, 4, 64]),
    fused([8, 3, 2, 4, 96]),
    mb([16, 3, 2, 4, 192]),
    mb([24, 3, 1, 6, 256]),
    mb([32, 3, 2, 6, 512]),
    mb([8, 3, 1, 6, 640]),
];

const V2_RW_S: [BaselineStage; 6] = [
    fused([2, 3, 1, 1, 24]),
    fused([4, 3, 2, 4, 48]),
    fused([4, 3, 2, 4, 64]),
    mb([6, 3, 2, 4, 128]),
    mb([9, 3, 1, 6, 160]),
    mb([15, 3, 2, 6, 272]),
];

const V2_RW_M: [BaselineStage; 6] = [
    fused([3, 3, 1, 1, 24]),
    fused([5, 3, 2, 4, 48]),
    fused([5, 3, 2, 4, 64]),
    mb([8, 3, 2, 4, 128]),
    mb([15, 3, 1, 6, 160]),
    mb([24, 3, 2, 6, 272]),
];

impl Baseline {
    /// The family.
    pub fn family(self) -> Family {
        match self {
            Self::B0 => Family::V1,
            Self::Lite0 => Family::Lite,
            _ => Family::V2,
        }
    }

    pub(crate) fn stages(self) -> &'static [BaselineStage] {
        match self {
            Self::B0 | Self::Lite0 => &B0,
            Self::V2B0 => &V2_B0,
            Self::V2S => &V2_S,
            Self::V2M => &V2_M,
            Self::V2L => &V2_L,
            Self::V2Xl => &V2_XL,
            Self::V2RwS => &V2_RW_S,
            Self::V2RwM => &V2_RW_M,
        }
    }

    /// Number of output channels of the stem.
    pub(crate) fn stem(self) -> usize {
        match self {
            Self::B0 | Self::Lite0 | Self::V2B0 | Self::V2L | Self::V2Xl => 32,
            Self::V2S | Self::V2M | Self::V2RwS | Self::V2RwM => 24,
        }
    }

    /// Number of output channels of the head.
    pub(crate) fn head(self) -> usize {
        match self {
            Self::V2RwS | Self::V2RwM => 1792,
            _ => 1280,
        }
    }

    /// Whether scaled numbers of channels are never rounded down by more than 10 %.
    pub(crate) fn limits_rounding(self) -> bool {
        self != Self::V2B0
    }
}
