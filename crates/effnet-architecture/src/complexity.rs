//! Parameter and multiply-accumulate counts, computed from the configuration alone.
//!
//! `effnet models` prints both, and the automatic batch size is derived from the multiply-accumulates. The
//! tests compare them with published figures, which also checks the compound scaling.

use crate::{BlockConfig, Config};

impl Config {
    /// Number of trainable parameters.
    pub fn parameters(&self) -> i64 {
        let batch_norm = |channels: i64| 2 * channels;
        let conv_bn =
            |input: i64, output: i64, kernel: i64| input * output * kernel * kernel + batch_norm(output);
        let block = |block: &BlockConfig| {
            let (expanded, squeezed) = (block.expanded_channels(), block.squeezed_channels());
            let expand = if block.expand_ratio == 1 {
                0
            } else {
                conv_bn(block.input_channels, expanded, 1)
            };
            let squeeze_excite = 2 * expanded * squeezed + squeezed + expanded;
            expand
                + conv_bn(1, expanded, block.kernel)
                + squeeze_excite
                + conv_bn(expanded, block.output_channels, 1)
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
        conv_bn(self.in_channels, self.stem_channels(), 3)
            + blocks.iter().map(block).sum::<i64>()
            + conv_bn(last, head, 1)
            + classifier
    }

    /// Number of multiply-accumulate operations for one image of `[height, width]` pixels, counting
    /// convolutions and the classifier as the paper does.
    pub fn multiply_accumulates(&self, [height, width]: [i64; 2]) -> i64 {
        let halved = |size: i64, stride: i64| (size + stride - 1) / stride;
        let (mut rows, mut columns) = (halved(height, 2), halved(width, 2));
        let mut total = rows * columns * 9 * self.in_channels * self.stem_channels();
        let mut channels = self.stem_channels();
        for block in self.blocks() {
            let expanded = block.expanded_channels();
            if block.expand_ratio != 1 {
                total += rows * columns * block.input_channels * expanded;
            }
            (rows, columns) = (halved(rows, block.stride), halved(columns, block.stride));
            total += rows * columns * expanded * (block.kernel * block.kernel + block.output_channels);
            total += 2 * expanded * block.squeezed_channels();
            channels = block.output_channels;
        }
        let head = self.head_channels();
        total += rows * columns * channels * head;
        total
            + if self.include_top {
                head * self.num_classes
            } else {
                0
            }
    }
}

#[cfg(test)]
mod tests {
    use crate::Variant;

    /// Published parameter counts, with 1000 classes (efficientnet_pytorch, torchvision).
    const PARAMETERS: [i64; 8] = [
        5288548, 7794184, 9109994, 12233232, 19341616, 30389784, 43040704, 66347960,
    ];

    #[test]
    fn compound_scaling_gives_the_published_parameter_counts() {
        for (variant, parameters) in Variant::ALL.into_iter().zip(PARAMETERS) {
            assert_eq!(variant.config().parameters(), parameters, "{variant}");
        }
    }

    #[test]
    fn multiply_accumulates_agree_with_torchvisions_figures() {
        for (variant, gigas) in [(Variant::B0, 0.386), (Variant::B3, 1.827), (Variant::B7, 37.746)] {
            let size = variant.image_size();
            let count = variant.config().multiply_accumulates([size, size]) as f64 / 1e9;
            assert!(
                (count / gigas - 1.0).abs() < 0.01,
                "{variant}: {count} against {gigas}"
            );
        }
    }
}
