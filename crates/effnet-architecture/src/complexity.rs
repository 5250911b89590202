//! Parameter and multiply-accumulate counts, computed from the configuration alone.
//!
//! `effnet models` prints both counts, and the automatic batch size is derived from the multiply-accumulates. The
//! tests compare them with published figures, which also checks the compound scaling.

use crate::{BlockConfig, BlockKind, Config};

impl Config {
    /// Returns the number of trainable parameters.
    pub fn parameters(&self) -> u64 {
        let batch_norm = |channels: usize| 2 * channels;
        let conv_bn = |input: usize, output: usize, kernel: usize| {
            input * output * kernel * kernel + batch_norm(output)
        };
        let block = |block: &BlockConfig| {
            let expanded = block.expanded_channels();
            let expand = if block.has_expansion() {
                conv_bn(block.input_channels, expanded, block.expansion_kernel())
            } else {
                0
            };
            let filter = match block.kind {
                BlockKind::MbConv => conv_bn(1, expanded, block.kernel),
                BlockKind::FusedMbConv | BlockKind::Convolution => 0,
            };
            let squeeze_excite = block
                .squeezed_channels
                .map_or(0, |squeezed| 2 * expanded * squeezed + squeezed + expanded);
            expand
                + filter
                + squeeze_excite
                + conv_bn(expanded, block.output_channels, block.projection_kernel())
        };
        let blocks = self.blocks();
        let last = blocks
            .last()
            .map_or(self.stem_channels(), |block| block.output_channels);
        let head = self.head_channels();
        let classifier = if self.include_top {
            (head + 1) * self.num_classes
        } else {
            0
        };
        let count = conv_bn(self.in_channels, self.stem_channels(), 3)
            + blocks.iter().map(block).sum::<usize>()
            + conv_bn(last, head, 1)
            + classifier;
        count as u64
    }

    /// Returns the number of multiply-accumulate operations for one image of `[height, width]` pixels. Like the
    /// paper, it counts convolutions and the classifier.
    pub fn multiply_accumulates(&self, [height, width]: [usize; 2]) -> u64 {
        // B7's count does not fit in 32 bits.
        let area = |[rows, columns]: [usize; 2]| rows as u64 * columns as u64;
        let mut size = [height, width].map(|side| side.div_ceil(2));
        let mut channels = self.stem_channels();
        let mut total = area(size) * (9 * self.in_channels * channels) as u64;
        for block in self.blocks() {
            let expanded = block.expanded_channels();
            let output = size.map(|side| side.div_ceil(block.stride));
            let kernel_area = block.kernel * block.kernel;
            let (input_pixel, output_pixel) = match block.kind {
                BlockKind::MbConv if block.has_expansion() => {
                    (block.input_channels * expanded, kernel_area * expanded)
                }
                BlockKind::MbConv => (0, kernel_area * expanded),
                BlockKind::FusedMbConv => (0, kernel_area * block.input_channels * expanded),
                BlockKind::Convolution => (0, 0),
            };
            let projection = expanded * block.output_channels * block.projection_kernel().pow(2);
            total += area(size) * input_pixel as u64 + area(output) * (output_pixel + projection) as u64;
            total += (2 * expanded * block.squeezed_channels.unwrap_or(0)) as u64;
            size = output;
            channels = block.output_channels;
        }
        let head = self.head_channels();
        let classifier = if self.include_top {
            head * self.num_classes
        } else {
            0
        };
        total + area(size) * (channels * head) as u64 + classifier as u64
    }
}

#[cfg(test)]
mod tests {
    use crate::{Family, Variant};

    /// Published parameter counts, with 1000 classes (efficientnet_pytorch, torchvision).
    const PARAMETERS: [u64; 8] = [
        5288548, 7794184, 9109994, 12233232, 19341616, 30389784, 43040704, 66347960,
    ];

    #[test]
    fn compound_scaling_gives_the_published_parameter_counts() {
        for (variant, parameters) in Variant::ALL.into_iter().zip(PARAMETERS) {
            assert_eq!(variant.config().parameters(), parameters, "{variant}");
        }
    }

    /// The same for lite0 to lite4 (timm's `tf_efficientnet_lite*`).
    const LITE_PARAMETERS: [u64; 5] = [4652008, 5416680, 6092072, 8197096, 13006568];

    #[test]
    fn lite_networks_have_the_published_parameter_counts() {
        let lite = Variant::ALL
            .into_iter()
            .filter(|variant| variant.family() == Family::Lite);
        let counts: Vec<u64> = lite.map(|variant| variant.config().parameters()).collect();
        assert_eq!(counts, LITE_PARAMETERS);
    }

    /// The same for timm's `tf_efficientnetv2_{b0, b1, b2, b3, s, m, l, xl}` and `efficientnetv2_rw_{t, s, m}`.
    const V2_PARAMETERS: [u64; 11] = [
        7139704, 8141052, 10096086, 14358406, 21458488, 54139356, 118515272, 208119808, 13649388, 23941296,
        53236442,
    ];

    #[test]
    fn v2_networks_have_the_published_parameter_counts() {
        let networks = Variant::ALL
            .into_iter()
            .filter(|variant| variant.family() == Family::V2);
        let counts: Vec<u64> = networks.map(|variant| variant.config().parameters()).collect();
        assert_eq!(counts, V2_PARAMETERS);
    }

    #[test]
    fn multiply_accumulates_agree_with_torchvisions_figures() {
        for (variant, gigas) in [
            (Variant::B0, 0.386),
            (Variant::B3, 1.827),
            (Variant::B7, 37.746),
            (Variant::V2S, 8.366),
            (Variant::V2M, 24.582),
            (Variant::V2L, 56.08),
        ] {
            let size = variant.image_size();
            let count = variant.config().multiply_accumulates([size, size]) as f64 / 1e9;
            assert!(
                (count / gigas - 1.0).abs() < 0.01,
                "{variant}: {count} against {gigas}"
            );
        }
    }
}
