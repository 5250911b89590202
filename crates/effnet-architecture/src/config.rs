//! Network configurations, and the stages and blocks that compound scaling derives from them.
//!
//! Parameter names and shapes, costs, the CPU engine and the tch modules are all built from [`Config::blocks`], so
//! they cannot disagree about a network.

use crate::baseline::BaselineStage;
use crate::{Baseline, BlockKind, Error, Family, Padding, Profile, Variant};

/// The configuration of a network: a variant's coefficients, each of which can be overridden.
///
/// The fields are those of the original implementation's `GlobalParams`, with two differences:
/// `batch_norm_momentum` follows PyTorch's convention (0.01 where the original has 0.99), and
/// [`padding`](Self::padding) is a separate field.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The network that the coefficients scale.
    pub baseline: Baseline,
    /// Multiplier for the number of channels.
    pub width_coefficient: f64,
    /// Multiplier for the number of blocks per stage.
    pub depth_coefficient: f64,
    /// Height and width of the input in pixels. Only [`Padding::StaticSame`] depends on it; networks
    /// accept other sizes.
    pub image_size: [usize; 2],
    /// Probability of dropping a feature before the classifier, in `[0, 1)`; training only.
    pub dropout_rate: f64,
    /// Probability of dropping the last block's residual branch (stochastic depth), in `[0, 1)`; training
    /// only. Block `i` of `n` is dropped with probability `drop_connect_rate * i / n`.
    pub drop_connect_rate: f64,
    /// Number of classes, which is the number of logits.
    pub num_classes: usize,
    /// Number of input channels.
    pub in_channels: usize,
    /// Weight of a new batch in the running statistics of batch normalisation (PyTorch's convention).
    pub batch_norm_momentum: f64,
    /// Epsilon, the constant added to the variance in batch normalisation.
    pub batch_norm_epsilon: f64,
    /// Numbers of channels are rounded to multiples of this.
    pub depth_divisor: usize,
    /// Minimum number of channels; `None` means `depth_divisor`.
    pub min_depth: Option<usize>,
    /// Whether the network has dropout and a classifier; without them, the output is `[N, C, 1, 1]`.
    pub include_top: bool,
    /// Padding of strided convolutions.
    pub padding: Padding,
}

/// The shape of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockConfig {
    /// The structure of the block.
    pub kind: BlockKind,
    /// Kernel size of the convolution that is not pointwise.
    pub kernel: usize,
    /// Stride of the convolution that is not pointwise.
    pub stride: usize,
    /// Ratio of expanded channels to input channels.
    pub expand_ratio: usize,
    /// Number of input channels.
    pub input_channels: usize,
    /// Number of output channels.
    pub output_channels: usize,
    /// Whether the block has a residual connection. The first block of a stage has one in V2 if its input and output
    /// have the same shape. In the other families it never has one, as in the original, even if it has stride 1 and,
    /// in a narrow network, equal numbers of input and output channels.
    pub skip: bool,
    /// Number of channels in the squeeze-and-excitation bottleneck, which is a fraction of the block's input channels,
    /// not of its expanded channels; `None` without squeeze-and-excitation.
    pub squeezed_channels: Option<usize>,
}

impl BlockConfig {
    /// Number of channels between the expansion and the projection.
    pub fn expanded_channels(&self) -> usize {
        self.input_channels * self.expand_ratio
    }

    /// Whether the block has an expansion convolution: pointwise in [`BlockKind::MbConv`], dense in
    /// [`BlockKind::FusedMbConv`].
    pub fn has_expansion(&self) -> bool {
        match self.kind {
            BlockKind::MbConv => self.expand_ratio != 1,
            BlockKind::FusedMbConv => true,
            BlockKind::Convolution => false,
        }
    }

    /// Kernel size of the expansion convolution.
    pub fn expansion_kernel(&self) -> usize {
        if self.kind == BlockKind::FusedMbConv {
            self.kernel
        } else {
            1
        }
    }

    /// Kernel size of the last convolution, which is the projection except in [`BlockKind::Convolution`].
    pub fn projection_kernel(&self) -> usize {
        if self.kind == BlockKind::Convolution {
            self.kernel
        } else {
            1
        }
    }
}

/// One stage after scaling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StageConfig {
    /// Number of blocks.
    pub repeats: usize,
    /// The first block; the others have stride 1 and equal numbers of input and output channels.
    pub first: BlockConfig,
    /// Number of output channels of each block.
    pub output_channels: usize,
}

impl Config {
    /// Returns the configuration of a variant as published: 1000 classes, three input channels, the `tf` profile.
    pub fn new(variant: Variant) -> Self {
        let size = variant.image_size();
        Self {
            baseline: variant.baseline(),
            width_coefficient: variant.width_coefficient(),
            depth_coefficient: variant.depth_coefficient(),
            image_size: [size, size],
            dropout_rate: variant.dropout_rate(),
            drop_connect_rate: 0.2,
            num_classes: 1000,
            in_channels: 3,
            batch_norm_momentum: Profile::Tf.batch_norm_momentum(variant.family()),
            batch_norm_epsilon: Profile::Tf.batch_norm_epsilon(),
            depth_divisor: 8,
            min_depth: None,
            include_top: true,
            padding: Profile::Tf.padding(),
        }
    }

    /// Returns the configuration of the published network with this name, such as `b3` or `efficientnet-b3`, like
    /// `from_name` in the original.
    ///
    /// # Errors
    /// [`Error::UnknownVariant`], which lists the nearest names.
    pub fn from_name(name: &str) -> Result<Self, Error> {
        Ok(Self::new(name.parse()?))
    }

    /// Sets padding, batch-norm epsilon and batch-norm momentum to those of a profile.
    #[must_use]
    pub fn with_profile(mut self, profile: Profile) -> Self {
        self.padding = profile.padding();
        self.batch_norm_epsilon = profile.batch_norm_epsilon();
        self.batch_norm_momentum = profile.batch_norm_momentum(self.family());
        self
    }

    /// Sets the number of classes.
    #[must_use]
    pub fn with_num_classes(mut self, num_classes: usize) -> Self {
        self.num_classes = num_classes;
        self
    }

    /// Sets the number of input channels.
    #[must_use]
    pub fn with_in_channels(mut self, in_channels: usize) -> Self {
        self.in_channels = in_channels;
        self
    }

    /// Scales a number of channels by [`width_coefficient`](Self::width_coefficient) and rounds the result, but
    /// never down by more than 10 % (`round_filters` in the reference implementation). V2-B0 to B3 are without this
    /// limit.
    pub fn round_filters(&self, filters: usize) -> usize {
        if self.width_coefficient == 0.0 {
            return filters;
        }
        let scaled = filters as f64 * self.width_coefficient;
        let divisor = self.depth_divisor;
        let least = self.min_depth.filter(|&depth| depth != 0).unwrap_or(divisor);
        let rounded = ((scaled + divisor as f64 / 2.0) as usize) / divisor * divisor;
        let rounded = rounded.max(least);
        if self.baseline.limits_rounding() && (rounded as f64) < 0.9 * scaled {
            rounded + divisor
        } else {
            rounded
        }
    }

    /// Scales a number of blocks by [`depth_coefficient`](Self::depth_coefficient), rounding up
    /// (`round_repeats` in the reference implementation).
    pub fn round_repeats(&self, repeats: usize) -> usize {
        if self.depth_coefficient == 0.0 {
            return repeats;
        }
        (repeats as f64 * self.depth_coefficient).ceil() as usize
    }

    /// The family.
    pub fn family(&self) -> Family {
        self.baseline.family()
    }

    /// Number of output channels of the stem.
    pub fn stem_channels(&self) -> usize {
        self.end_filters(self.baseline.stem())
    }

    /// Number of output channels of the head, which is the number of features that the classifier sees.
    pub fn head_channels(&self) -> usize {
        self.end_filters(self.baseline.head())
    }

    fn end_filters(&self, filters: usize) -> usize {
        if self.family().scales_ends() {
            self.round_filters(filters)
        } else {
            filters
        }
    }

    fn squeezed_channels(&self, kind: BlockKind, input_channels: usize) -> Option<usize> {
        let ratio = self.family().squeeze_excite_ratio(kind)?;
        Some(((input_channels as f64 * ratio) as usize).max(1))
    }

    /// Returns the stages after scaling.
    pub fn stages(&self) -> Vec<StageConfig> {
        let baseline = self.baseline.stages();
        let mut input_channels = self.stem_channels();
        let stage = |(index, stage): (usize, &BaselineStage)| {
            let output_channels = self.round_filters(stage.channels);
            let keeps_shape = stage.stride == 1 && input_channels == output_channels;
            let first = BlockConfig {
                kind: stage.kind,
                kernel: stage.kernel,
                stride: stage.stride,
                expand_ratio: stage.expand_ratio,
                input_channels,
                output_channels,
                skip: keeps_shape && self.family().first_block_may_skip(),
                squeezed_channels: self.squeezed_channels(stage.kind, input_channels),
            };
            input_channels = output_channels;
            let is_end = index == 0 || index == baseline.len() - 1;
            StageConfig {
                repeats: if is_end && !self.family().scales_ends() {
                    stage.repeats
                } else {
                    self.round_repeats(stage.repeats)
                },
                first,
                output_channels,
            }
        };
        baseline.iter().enumerate().map(stage).collect()
    }

    /// Returns all blocks in order, as numbered in `_blocks.{i}`.
    pub fn blocks(&self) -> Vec<BlockConfig> {
        let blocks_of = |stage: StageConfig| {
            let others = BlockConfig {
                input_channels: stage.output_channels,
                stride: 1,
                skip: true,
                squeezed_channels: self.squeezed_channels(stage.first.kind, stage.output_channels),
                ..stage.first
            };
            std::iter::once(stage.first).chain(std::iter::repeat_n(others, stage.repeats - 1))
        };
        self.stages().into_iter().flat_map(blocks_of).collect()
    }

    /// Checks all fields, so that meaningless values and absurd memory requirements are caught before anything is
    /// built.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for the first field that is out of range.
    pub fn validate(&self) -> Result<(), Error> {
        let fail = |field: &'static str, expected: &'static str, found: String| {
            Err(Error::InvalidConfig {
                field,
                expected,
                found,
            })
        };
        let rate = |value: f64| (0.0..1.0).contains(&value);
        if !(0.0..=16.0).contains(&self.width_coefficient) {
            return fail("width_coefficient", "0 to 16", self.width_coefficient.to_string());
        }
        if !(0.0..=64.0).contains(&self.depth_coefficient) {
            return fail("depth_coefficient", "0 to 64", self.depth_coefficient.to_string());
        }
        if self.image_size.iter().any(|&side| side < 1) {
            return fail(
                "image_size",
                "at least 1 x 1",
                format!("{} x {}", self.image_size[0], self.image_size[1]),
            );
        }
        if !rate(self.dropout_rate) {
            return fail(
                "dropout_rate",
                "0 or more, less than 1",
                self.dropout_rate.to_string(),
            );
        }
        if !rate(self.drop_connect_rate) {
            return fail(
                "drop_connect_rate",
                "0 or more, less than 1",
                self.drop_connect_rate.to_string(),
            );
        }
        if self.include_top && !(1..=1 << 24).contains(&self.num_classes) {
            return fail("num_classes", "1 to 16777216", self.num_classes.to_string());
        }
        if !(1..=1 << 16).contains(&self.in_channels) {
            return fail("in_channels", "1 to 65536", self.in_channels.to_string());
        }
        if !(0.0..=1.0).contains(&self.batch_norm_momentum) {
            return fail(
                "batch_norm_momentum",
                "0 to 1",
                self.batch_norm_momentum.to_string(),
            );
        }
        if !(self.batch_norm_epsilon > 0.0 && self.batch_norm_epsilon.is_finite()) {
            return fail(
                "batch_norm_epsilon",
                "a positive number",
                self.batch_norm_epsilon.to_string(),
            );
        }
        if !(1..=4096).contains(&self.depth_divisor) {
            return fail("depth_divisor", "1 to 4096", self.depth_divisor.to_string());
        }
        match self.min_depth {
            Some(depth) if !(0..=1 << 16).contains(&depth) => {
                fail("min_depth", "0 to 65536", depth.to_string())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_follow_the_published_depths() {
        let depths = [16, 23, 23, 26, 32, 39, 45, 55];
        for (variant, depth) in Variant::ALL.into_iter().zip(depths) {
            assert_eq!(variant.config().blocks().len(), depth, "{variant}");
        }
    }

    #[test]
    fn a_nonsensical_override_is_refused_by_name() {
        let config = Config {
            dropout_rate: 1.5,
            ..Config::new(Variant::B0)
        };
        let message = config.validate().unwrap_err().to_string();
        assert!(
            message.contains("dropout_rate") && message.contains("1.5"),
            "{message}"
        );
    }
}
