//! The names and shapes of a network's parameters.
//!
//! Strict loading checks a file against this list, and nothing else: the CPU engine and tch's variable
//! stores are both filled from what passed the check.

use crate::{BlockConfig, Config};

/// The name of the stem's kernels, which loading may adapt to another number of input channels.
pub const STEM: &str = "_conv_stem.weight";

/// What the names of the classifier's parameters begin with.
pub const CLASSIFIER: &str = "_fc.";

/// What a parameter or buffer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParameterKind {
    /// A floating-point tensor that inference needs.
    Float,
    /// `num_batches_tracked`, a 64-bit integer that inference does not need: files from before it was
    /// introduced do not have it.
    Counter,
}

/// One parameter or buffer of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in the original implementation: `_blocks.0._bn1.running_mean`.
    pub name: String,
    /// Its shape; empty for a counter.
    pub shape: Vec<usize>,
    /// What it is for.
    pub kind: ParameterKind,
}

impl Config {
    /// All parameters and buffers in the order of PyTorch's `state_dict()`, under the names of the original
    /// implementation. Without [`include_top`](Self::include_top) the classifier's are left out.
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
    fn float(&mut self, name: &str, shape: &[i64]) {
        self.0.push(Parameter {
            name: name.to_owned(),
            shape: shape.iter().map(|&side| side as usize).collect(),
            kind: ParameterKind::Float,
        });
    }

    /// Kernels of `[outputs, inputs per group, side]`.
    fn conv(&mut self, layer: &str, [outputs, inputs, kernel]: [i64; 3]) {
        self.float(&format!("{layer}.weight"), &[outputs, inputs, kernel, kernel]);
    }

    fn batch_norm(&mut self, layer: &str, channels: i64) {
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
        let (expanded, squeezed) = (block.expanded_channels(), block.squeezed_channels());
        if block.expand_ratio != 1 {
            self.conv(
                &format!("{name}._expand_conv"),
                [expanded, block.input_channels, 1],
            );
            self.batch_norm(&format!("{name}._bn0"), expanded);
        }
        self.conv(&format!("{name}._depthwise_conv"), [expanded, 1, block.kernel]);
        self.batch_norm(&format!("{name}._bn1"), expanded);
        for (layer, outputs, inputs) in [
            ("_se_reduce", squeezed, expanded),
            ("_se_expand", expanded, squeezed),
        ] {
            self.conv(&format!("{name}.{layer}"), [outputs, inputs, 1]);
            self.float(&format!("{name}.{layer}.bias"), &[outputs]);
        }
        self.conv(
            &format!("{name}._project_conv"),
            [block.output_channels, expanded, 1],
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
            assert_eq!(trainable as i64, config.parameters(), "{variant}");
        }
    }
}
