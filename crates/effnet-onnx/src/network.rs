//! Turns the folded layers of a network into nodes.
//!
//! Padding is explicit wherever it is known, because not every runtime implements `auto_pad`: only SAME padding of a
//! strided convolution depends on the size of the image. SiLU is a sigmoid and a product, which runtimes fuse; an
//! operator of its own exists from opset 24 on.

use effnet_kernels::{Activation, Block, Convolution, Layers, Padding, SqueezeExcite};

use crate::graph::{Attribute, Graph, Values};

/// The network while its nodes are added. Each function takes the name of a value and returns that of the next.
pub(crate) struct NetworkNodes<'g, 'a> {
    pub(crate) graph: &'g mut Graph<'a>,
    pub(crate) activation: Activation,
    /// Whether weights and activations are 16-bit floats.
    pub(crate) is_half: bool,
    /// Height and width of the current value, if the size of the images is fixed.
    pub(crate) size: Option<[usize; 2]>,
}

impl<'a> NetworkNodes<'_, 'a> {
    /// Adds all layers, from normalised images to pooled features `[N, features]`, which get this name.
    pub(crate) fn features(&mut self, layers: &mut Layers<'a>, images: &str, name: &str) -> String {
        if self.activation == Activation::Relu6 {
            for (name, value) in [("zero", 0.0), ("six", 6.0)] {
                self.graph.floats(name, &[], vec![value], self.is_half);
            }
        }
        let mut value = self.activated("_conv_stem", take(&mut layers.stem), images);
        for (index, block) in layers.blocks.drain(..).enumerate() {
            value = self.block(&format!("_blocks.{index}"), block, &value);
        }
        let value = self.activated("_conv_head", take(&mut layers.head), &value);
        let pooled = self
            .graph
            .node("GlobalAveragePool", "_avg_pooling", &[&value], &[]);
        self.graph
            .node("Flatten", name, &[&pooled], &[("axis", Attribute::Int(1))])
    }

    /// Adds the classifier, whose logits get this name.
    pub(crate) fn classifier(&mut self, classifier: Convolution<'a>, features: &str, name: &str) -> String {
        let [classes, channels, ..] = classifier.shape;
        let (weight, bias) = self.parameters("_fc", classifier, &[classes, channels]);
        self.graph.node(
            "Gemm",
            name,
            &[features, &weight, &bias],
            &[("transB", Attribute::Int(1))],
        )
    }

    fn block(&mut self, name: &str, block: Block<'a>, input: &str) -> String {
        let layer = |layer: &str| format!("{name}.{layer}");
        let mut value = input.to_owned();
        let is_convolution = block.expand.is_none() && block.depthwise.is_none();
        if let Some(expand) = block.expand {
            value = self.activated(&layer("_expand_conv"), expand, &value);
        }
        if let Some(depthwise) = block.depthwise {
            let groups = depthwise.shape[0];
            value = self.grouped(&layer("_depthwise_conv"), depthwise, groups, &value);
            value = self.activation(&value);
        }
        if let Some(squeeze_excite) = block.squeeze_excite {
            value = self.squeeze_excite(name, squeeze_excite, &value);
        }
        let project = layer("_project_conv");
        value = if is_convolution {
            self.activated(&project, block.project, &value)
        } else {
            self.convolution(&project, block.project, &value)
        };
        if block.skip {
            value = self.graph.node("Add", layer("skip"), &[&value, input], &[]);
        }
        value
    }

    /// Adds the gates of a block, and applies them.
    fn squeeze_excite(&mut self, block: &str, layers: SqueezeExcite<'a>, input: &str) -> String {
        let layer = |layer: &str| format!("{block}.{layer}");
        let size = self.size.replace([1, 1]);
        let means = self
            .graph
            .node("GlobalAveragePool", layer("_se_mean"), &[input], &[]);
        let reduced = self.convolution(&layer("_se_reduce"), layers.reduce, &means);
        let reduced = self.silu(&reduced);
        let gates = self.convolution(&layer("_se_expand"), layers.excite, &reduced);
        let gates = self.graph.node("Sigmoid", layer("_se_gates"), &[&gates], &[]);
        self.size = size;
        self.graph.node("Mul", layer("_se"), &[input, &gates], &[])
    }

    fn activated(&mut self, name: &str, layer: Convolution<'a>, input: &str) -> String {
        let value = self.convolution(name, layer, input);
        self.activation(&value)
    }

    fn activation(&mut self, value: &str) -> String {
        match self.activation {
            Activation::Silu => self.silu(value),
            Activation::Relu6 => {
                let name = format!("{value}.relu6");
                self.graph.node("Clip", name, &[value, "zero", "six"], &[])
            }
        }
    }

    fn silu(&mut self, value: &str) -> String {
        let sigmoid = self
            .graph
            .node("Sigmoid", format!("{value}.sigmoid"), &[value], &[]);
        self.graph
            .node("Mul", format!("{value}.silu"), &[value, &sigmoid], &[])
    }

    fn convolution(&mut self, name: &str, layer: Convolution<'a>, input: &str) -> String {
        self.grouped(name, layer, 1, input)
    }

    fn grouped(&mut self, name: &str, layer: Convolution<'a>, groups: usize, input: &str) -> String {
        let [outputs, inputs, kernel, _] = layer.shape;
        let stride = layer.stride;
        let pads = self.pads(layer.padding, kernel, stride);
        self.size = self.size.map(|size| match pads {
            Some([top, left, bottom, right]) => [size[0] + top + bottom, size[1] + left + right]
                .map(|side| side.saturating_sub(kernel) / stride + 1),
            None => size.map(|side| side.div_ceil(stride)),
        });
        let (weight, bias) = self.parameters(name, layer, &[outputs, inputs, kernel, kernel]);
        let (kernel, stride) = (kernel as i64, stride as i64);
        let explicit = pads.map(|pads| pads.map(|side| side as i64));
        let padding = match &explicit {
            Some(pads) => ("pads", Attribute::Ints(pads)),
            None => ("auto_pad", Attribute::Text("SAME_UPPER")),
        };
        self.graph.node(
            "Conv",
            name,
            &[input, &weight, &bias],
            &[
                ("kernel_shape", Attribute::Ints(&[kernel, kernel])),
                ("strides", Attribute::Ints(&[stride, stride])),
                ("group", Attribute::Int(groups as i64)),
                padding,
            ],
        )
    }

    /// Returns the padding in ONNX's order (top, left, bottom, right), or `None` if it depends on a size that is not
    /// known.
    fn pads(&self, padding: Padding, kernel: usize, stride: usize) -> Option<[usize; 4]> {
        match (padding, self.size) {
            (Padding::Fixed([top, bottom, left, right]), _) => Some([top, left, bottom, right]),
            // Odd kernels only: both sides are equal, whatever the size.
            (Padding::Same, _) if stride == 1 => Some([(kernel - 1) / 2; 4]),
            (Padding::Same, None) => None,
            (Padding::Same, Some(size)) => {
                let [[top, bottom], [left, right]] =
                    effnet_architecture::Padding::Same.sides(kernel, stride, size, size);
                Some([top, left, bottom, right])
            }
        }
    }

    /// Adds the weights and biases of a layer.
    fn parameters(&mut self, name: &str, layer: Convolution<'a>, shape: &[usize]) -> (String, String) {
        let weight = Values::Floats {
            values: layer.weight,
            scale: layer.scale,
            is_half: self.is_half,
        };
        let bias = Values::Floats {
            values: layer.bias,
            scale: None,
            is_half: self.is_half,
        };
        let weight = self.graph.constant(format!("{name}.weight"), shape, weight);
        let bias = self.graph.constant(format!("{name}.bias"), &shape[..1], bias);
        (weight, bias)
    }
}

/// Moves a layer out, so that its weights are not copied.
fn take<'a>(layer: &mut Convolution<'a>) -> Convolution<'a> {
    std::mem::replace(layer, Convolution::new(Vec::new(), [0; 4], Vec::new()))
}
