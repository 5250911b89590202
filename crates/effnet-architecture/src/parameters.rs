//! The names and shapes of a network's parameters.
//!
//! Strict loading checks a file against this list alone, and fills both the CPU engine and tch's variable stores
//! from the tensors that passed. [`Config::parameters`] counts the parameters of the same network independently,
//! and a test compares the two.

use crate::{BlockConfig, BlockKind, Config};

/// The name of the stem convolution's weight, which loading can adapt to a different number of input channels.
pub const STEM: &str = "_conv_stem.weight";

/// The prefix of the names of the classifier's parameters.
pub const CLASSIFIER: &str = "_fc.";

/// The kind of a parameter or buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ParameterKind {
    /// A floating-point tensor that inference needs.
    Float,
    /// `num_batches_tracked`, a 64-bit integer that inference does not need. Files that predate it do not contain
    /// it.
    Counter,
}

/// One parameter or buffer of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parameter {
    /// The name in the original implementation, such as `_blocks.0._bn1.running_mean`.
    pub name: String,
    /// The shape, which is empty for a counter.
    pub shape: Vec<usize>,
    /// The kind.
    pub kind: ParameterKind,
}

impl Config {
    /// Returns all parameters and buffers in the order of PyTorch's `state_dict()`, with the names of the original
    /// implementation. It has none for V2, whose layers are named after the same parts: the dense convolution of
    /// [`BlockKind::FusedMbConv`] is `_expand_conv`, that of [`BlockKind::Convolution`] is `_project_conv`. Without [`include_top`](Self::include_top), the classifier's parameters are omitted.
    pub fn parameter_list(&self) -> Vec<Parameter> {
        let mut list = List(Vec::new());
        list.conv("_conv_stem", [self.stem_channels(), self.in_channels, 3]);
        list.batch_norm("_bn0", self.stem_channels());
        let blocks = self.blocks();
        for (index, block) in blocks.iter().enumerate() {
            list.block(&format!("_blocks.{index}"), block);
        }
        let last = blocks
            .last()
            .map_or(self.stem_channels(), |block| block.output_channels);
        list.conv("_conv_head", [self.head_channels(), last, 1]);
        list.batch_norm("_bn1", self.head_channels());
        if self.include_top {
            list.float("_fc.weight", &[self.num_classes, self.head_channels()]);
            list.float("_fc.bias", &[self.num_classes]);
        }
        list.0
    }
}

struct List(Vec<Parameter>);

impl List {
    fn float(&mut self, name: &str, shape: &[usize]) {
        self.0.push(Parameter {
            name: name.to_owned(),
            shape: shape.to_vec(),
            kind: ParameterKind::Float,
        });
    }

    /// Adds a square convolution of `[outputs, inputs per group, kernel size]`.
    fn conv(&mut self, layer: &str, [outputs, inputs, kernel]: [usize; 3]) {
        self.float(&format!("{layer}.weight"), &[outputs, inputs, kernel, kernel]);
    }

    fn batch_norm(&mut self, layer: &str, channels: usize) {
        for name in ["weight", "bias", "running_mean", "running_var"] {
            self.float(&format!("{layer}.{name}"), &[channels]);
        }
        self.0.push(Parameter {
            name: format!("{layer}.num_batches_tracked"),
            shape: Vec::new(),
            kind: ParameterKind::Counter,
        });
    }

    fn block(&mut self, name: &str, block: &BlockConfig) {
        let expanded = block.expanded_channels();
        if block.has_expansion() {
            self.conv(
                &format!("{name}._expand_conv"),
                [expanded, block.input_channels, block.expansion_kernel()],
            );
            self.batch_norm(&format!("{name}._bn0"), expanded);
        }
        if block.kind == BlockKind::MbConv {
            self.conv(&format!("{name}._depthwise_conv"), [expanded, 1, block.kernel]);
            self.batch_norm(&format!("{name}._bn1"), expanded);
        }
        let squeeze_excite = block.squeezed_channels.into_iter().flat_map(|squeezed| {
            [
                ("_se_reduce", squeezed, expanded),
                ("_se_expand", expanded, squeezed),
            ]
        });
        for (layer, outputs, inputs) in squeeze_excite {
            self.conv(&format!("{name}.{layer}"), [outputs, inputs, 1]);
            self.float(&format!("{name}.{layer}.bias"), &[outputs]);
        }
        self.conv(
            &format!("{name}._project_conv"),
            [block.output_channels, expanded, block.projection_kernel()],
        );
        self.batch_norm(&format!("{name}._bn2"), block.output_channels);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Variant;

    #[test]
    fn the_list_adds_up_to_the_number_of_trainable_parameters() {
        for variant in Variant::ALL {
            let config = variant.config();
            let trainable = config
                .parameter_list()
                .into_iter()
                .filter(|parameter| {
                    parameter.kind == ParameterKind::Float && !parameter.name.contains("running_")
                })
                .map(|parameter| parameter.shape.iter().product::<usize>())
                .sum::<usize>();
            assert_eq!(trainable as u64, config.parameters(), "{variant}");
        }
    }
}
