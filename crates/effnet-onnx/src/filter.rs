//! The weights of Pillow's filters, computed in the graph from the size of an image.

use effnet_image::Interpolation;

use crate::graph::{ElementType, Graph, Values};

/// The number of bits of half a weight.
pub(crate) const HALF_BITS: u32 = 11;
/// The number of output samples in a block. Larger blocks multiply more zeros, smaller ones read more samples twice.
const BLOCK: usize = 32;

/// The resize of one axis, of which only the samples inside the centre crop are computed.
///
/// Positions are twice those of the centres, and so odd integers: multiplied by the other size, they are exact.
pub(crate) struct Filter<'f> {
    pub(crate) name: &'static str,
    /// The length before and after the resize, in samples.
    pub(crate) from: &'f str,
    pub(crate) to: &'f str,
    pub(crate) crop: usize,
    pub(crate) kernel: Kernel,
}

/// A filter that is stretched when the image becomes smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kernel {
    Triangle,
    Cubic,
}

impl Kernel {
    /// The kernel of a resize; `None` for one without a kernel.
    pub(crate) fn of(interpolation: Interpolation) -> Option<Self> {
        match interpolation {
            Interpolation::Bilinear => Some(Self::Triangle),
            Interpolation::Bicubic => Some(Self::Cubic),
            Interpolation::Nearest => None,
        }
    }
}

impl Filter<'_> {
    /// Returns the weights, a row per output sample and a column per input sample. They are integers, split into two
    /// matrices with the upper and the lower bits.
    pub(crate) fn whole(&self, graph: &mut Graph<'_>) -> [String; 2] {
        let start = self.twice_the_start(graph);
        let positions = (0..self.crop).map(odd).collect();
        let positions = graph.constant(
            self.part("positions"),
            &[self.crop, 1],
            Values::Integers(positions),
        );
        let outputs = self.apply(graph, "Add", "outputs", [&positions, &start]);
        let (one, two) = (
            self.integer(graph, "least_input", 1),
            self.integer(graph, "input_step", 2),
        );
        let end = self.apply(graph, "Mul", "input_end", [self.from, &two]);
        let inputs = graph.apply("Range", &self.part("inputs"), &[&one, &end, &two]);
        let weights = self.weights(graph, &inputs, &outputs);
        self.halves(graph, &weights)
    }

    /// Returns the input samples that each block of output samples needs, `[blocks, samples]`, and their weights,
    /// `[blocks, samples, outputs]`. The last block repeats the last output sample.
    pub(crate) fn in_blocks(&self, graph: &mut Graph<'_>) -> (String, [String; 2]) {
        let blocks = self.crop.div_ceil(BLOCK);
        let start = self.twice_the_start(graph);
        let positions = (0..blocks * BLOCK).map(|position| odd(position.min(self.crop - 1)));
        let positions = Values::Integers(positions.collect());
        let positions = graph.constant(self.part("positions"), &[blocks, BLOCK, 1], positions);
        let outputs = self.apply(graph, "Add", "outputs", [&positions, &start]);
        let samples = self.samples(graph, blocks, &start);

        let (one, two) = (self.integer(graph, "odd", 1), self.integer(graph, "twice", 2));
        let inputs = self.apply(graph, "Mul", "inputs_even", [&samples, &two]);
        let inputs = self.apply(graph, "Add", "inputs", [&inputs, &one]);
        let weights = self.weights(graph, &inputs, &outputs);
        let is_inside = self.apply(graph, "Less", "is_inside", [&samples, self.from]);
        let zero = graph.double(&self.part("weight_outside"), 0.0);
        let weights = graph.apply(
            "Where",
            &self.part("weights_inside"),
            &[&is_inside, &weights, &zero],
        );
        let weights = self
            .halves(graph, &weights)
            .map(|half| graph.permuted(&format!("{half}.transposed"), &half, &[0, 2, 1]));

        let last = self.apply(graph, "Sub", "last_sample", [self.from, &one]);
        let samples = self.apply(graph, "Min", "samples_inside", [&samples, &last]);
        let axis = graph.integers(&self.part("samples_axis"), &[1]);
        let samples = self.apply(graph, "Squeeze", "samples_of_blocks", [&samples, &axis]);
        (samples, weights)
    }

    /// Returns the input samples of each block, `[blocks, 1, samples]`. The last ones may not exist.
    fn samples(&self, graph: &mut Graph<'_>, blocks: usize, start: &str) -> String {
        let positions = (0..blocks).map(|block| odd(block * BLOCK)).collect();
        let first = graph.constant(
            self.part("block_positions"),
            &[blocks, 1, 1],
            Values::Integers(positions),
        );
        let first = self.apply(graph, "Add", "block_outputs", [&first, start]);
        let first = self.apply(graph, "Mul", "block_centres", [&first, self.from]);
        // The reach of the filter on both sides, times the size after the resize.
        let larger = self.apply(graph, "Max", "larger_size", [self.from, self.to]);
        let support = match self.kernel {
            Kernel::Triangle => 1,
            Kernel::Cubic => 2,
        };
        let reach = self.integer(graph, "support", 2 * support);
        let reach = self.apply(graph, "Mul", "reach", [&larger, &reach]);
        let first = self.apply(graph, "Sub", "block_reach", [&first, &reach]);
        let zero = self.integer(graph, "first_sample", 0);
        let first = self.apply(graph, "Max", "block_reach_inside", [&first, &zero]);
        let two = self.integer(graph, "half_positions", 2);
        let unit = self.apply(graph, "Mul", "twice_the_size", [self.to, &two]);
        let first = self.apply(graph, "Div", "block_start", [&first, &unit]);

        let steps = self.integer(graph, "block_steps", BLOCK as i64 - 1);
        let length = self.apply(graph, "Mul", "block_width", [self.from, &steps]);
        let length = self.apply(graph, "Add", "block_width_with_reach", [&length, &reach]);
        let length = self.apply(graph, "Div", "block_samples_floor", [&length, self.to]);
        // Both ends of the range are rounded.
        let length = self.apply(graph, "Add", "block_samples", [&length, &two]);
        let one = self.integer(graph, "sample_step", 1);
        let offsets = graph.apply("Range", &self.part("offsets"), &[&zero, &length, &one]);
        self.apply(graph, "Add", "samples", [&first, &offsets])
    }

    /// Returns the value of the filter for each pair of an input and an output position.
    fn weights(&self, graph: &mut Graph<'_>, inputs: &str, outputs: &str) -> String {
        let inputs = self.apply(graph, "Mul", "inputs_scaled", [inputs, self.to]);
        let outputs = self.apply(graph, "Mul", "outputs_scaled", [outputs, self.from]);
        let distance = self.apply(graph, "Sub", "distance", [&inputs, &outputs]);
        let distance = graph.cast(&self.part("distance_exact"), &distance, ElementType::Double);
        // The filter is stretched when the image becomes smaller.
        let two = self.integer(graph, "two", 2);
        let unit = self.apply(graph, "Max", "larger", [self.from, self.to]);
        let unit = self.apply(graph, "Mul", "unit", [&unit, &two]);
        let unit = graph.cast(&self.part("unit_exact"), &unit, ElementType::Double);
        let distance = self.apply(graph, "Div", "distance_in_units", [&distance, &unit]);
        let distance = graph.apply("Abs", &self.part("x"), &[&distance]);
        match self.kernel {
            Kernel::Triangle => self.triangle(graph, &distance),
            Kernel::Cubic => self.cubic(graph, &distance),
        }
    }

    /// Divides weights by the sum over the inputs, rounds them to 22 bits, halves away from zero, and splits them.
    fn halves(&self, graph: &mut Graph<'_>, weights: &str) -> [String; 2] {
        let axis = graph.integers(&self.part("axis"), &[-1]);
        let sum = self.apply(graph, "ReduceSum", "sum_of_weights", [weights, &axis]);
        let weights = self.apply(graph, "Div", "normalised", [weights, &sum]);
        let scale = graph.double(&self.part("scale"), (1 << (2 * HALF_BITS)).into());
        let scaled = self.apply(graph, "Mul", "scaled", [&weights, &scale]);
        let sign = graph.apply("Sign", &self.part("sign"), &[&scaled]);
        let size = graph.apply("Abs", &self.part("size"), &[&scaled]);
        let half = graph.double(&self.part("half"), 0.5);
        let size = self.apply(graph, "Add", "raised", [&size, &half]);
        let size = graph.apply("Floor", &self.part("rounded"), &[&size]);
        let whole = self.apply(graph, "Mul", "whole", [&size, &sign]);
        let base = graph.double(&self.part("base"), (1 << HALF_BITS).into());
        let upper = self.apply(graph, "Div", "upper_exact", [&whole, &base]);
        let upper = graph.apply("Floor", &self.part("upper_floor"), &[&upper]);
        let without = self.apply(graph, "Mul", "upper_scaled", [&upper, &base]);
        let lower = self.apply(graph, "Sub", "lower_exact", [&whole, &without]);
        [("upper", upper), ("lower", lower)]
            .map(|(half, value)| graph.cast(&self.part(half), &value, ElementType::Float))
    }

    /// Returns twice the first sample inside the centre crop: half of what is cut off, rounded to even if it is not
    /// whole.
    fn twice_the_start(&self, graph: &mut Graph<'_>) -> String {
        let two = self.integer(graph, "crop_two", 2);
        let crop = self.integer(graph, "crop_size", self.crop as i64);
        let surplus = self.apply(graph, "Sub", "crop_surplus", [self.to, &crop]);
        let half = self.apply(graph, "Div", "crop_half", [&surplus, &two]);
        let is_odd = self.apply(graph, "Mod", "crop_is_odd", [&surplus, &two]);
        let is_half_odd = self.apply(graph, "Mod", "crop_is_half_odd", [&half, &two]);
        let up = self.apply(graph, "Mul", "crop_up", [&is_odd, &is_half_odd]);
        let start = self.apply(graph, "Add", "crop_start", [&half, &up]);
        self.apply(graph, "Add", "crop_start_twice", [&start, &start])
    }

    /// `max(1 - x, 0)`.
    fn triangle(&self, graph: &mut Graph<'_>, x: &str) -> String {
        let one = graph.double(&self.part("one"), 1.0);
        let weight = self.apply(graph, "Sub", "triangle", [&one, x]);
        graph.apply("Relu", &self.part("weights"), &[&weight])
    }

    /// Pillow's bicubic filter, with the parameter -0.5.
    fn cubic(&self, graph: &mut Graph<'_>, x: &str) -> String {
        let inner = self.polynomial(graph, "inner", x, [1.5, -2.5, 0.0, 1.0]);
        let outer = self.polynomial(graph, "outer", x, [-0.5, 2.5, -4.0, 2.0]);
        let [is_inner, is_outer] = [("inner", 1.0), ("outer", 2.0)].map(|(limit, value)| {
            let value = graph.double(&self.part(&format!("{limit}_limit")), value);
            self.apply(graph, "Less", &format!("is_{limit}"), [x, &value])
        });
        let zero = graph.double(&self.part("zero"), 0.0);
        let outer = graph.apply("Where", &self.part("outer_or_zero"), &[&is_outer, &outer, &zero]);
        graph.apply("Where", &self.part("weights"), &[&is_inner, &inner, &outer])
    }

    /// A polynomial, highest coefficient first.
    fn polynomial(&self, graph: &mut Graph<'_>, name: &str, x: &str, coefficients: [f64; 4]) -> String {
        let [mut value, rest @ ..] = [3, 2, 1, 0].map(|power| {
            let name = self.part(&format!("{name}_coefficient_{power}"));
            graph.double(&name, coefficients[3 - power])
        });
        for (index, coefficient) in rest.iter().enumerate() {
            let product = self.apply(graph, "Mul", &format!("{name}_product_{index}"), [&value, x]);
            value = self.apply(
                graph,
                "Add",
                &format!("{name}_sum_{index}"),
                [&product, coefficient],
            );
        }
        value
    }

    fn apply(&self, graph: &mut Graph<'_>, operator: &str, name: &str, inputs: [&str; 2]) -> String {
        graph.apply(operator, &self.part(name), &inputs)
    }

    fn integer(&self, graph: &mut Graph<'_>, name: &str, value: i64) -> String {
        graph.integer(&self.part(name), value)
    }

    fn part(&self, part: &str) -> String {
        format!("{}.{part}", self.name)
    }
}

/// Twice the centre of the sample with this index.
fn odd(index: usize) -> i64 {
    2 * index as i64 + 1
}
