//! The evaluation transform as nodes: bytes in, normalised images out.
//!
//! A service that feeds a network from another language has to repeat the resize, the crop and the normalisation of
//! training, and few libraries have Pillow's filters. ONNX's `Resize` has an antialiased one from opset 18 on, but
//! runtimes differ in it: OpenVINO ignores `antialias`, and bilinear interpolation weighs the border twice. A resize is
//! two products with matrices of filter weights, though, which every runtime computes alike. The graph computes the
//! matrices from the size of the image, for the rows and columns inside the crop only.
//!
//! Sizes such as 640 and 256 make ties frequent: sums that are exactly between two bytes. Pillow decides them by the
//! rounding of its weights to 22 bits, so the graph rounds them alike, in doubles, and splits them into halves of 11
//! bits: products of a byte and half a weight are integers so small that 32-bit floats add them without an error. A
//! runtime that has no doubles differs from Pillow in ties only, by one level.

use effnet_image::{EvalTransform, Interpolation, ResizeMode};

use crate::ExportError;
use crate::graph::{Attribute, ElementType, Graph, Values};

/// The number of bits of half a weight.
const HALF_BITS: u32 = 11;

/// Checks that the graph can do what the transform does.
pub(crate) fn check(transform: &EvalTransform, channels: usize) -> Result<(), ExportError> {
    transform.check()?;
    if channels != 3 {
        return Err(ExportError::Preprocessing {
            expected: "a network for RGB images".to_owned(),
            found: format!("one with {channels} input channels"),
        });
    }
    let (target, crop) = (transform.resize_target(), transform.image_size);
    if target < crop {
        // Black borders around the image: their width would depend on its size.
        return Err(ExportError::Preprocessing {
            expected: format!("images that are resized to at least the size of the crop, {crop} pixels"),
            found: format!("a resize to {target}"),
        });
    }
    Ok(())
}

/// Adds the transform, and returns the name of the normalised images. `bytes` is `[N, height, width, 3]`.
pub(crate) fn add(graph: &mut Graph<'_>, transform: &EvalTransform, bytes: &str) -> String {
    let mut nodes = Nodes { graph };
    let crop = transform.image_size;
    let [height, width] = nodes.sides(bytes);
    let [resized_height, resized_width] = nodes.resized_sides(transform, [&height, &width]);
    let columns = nodes.filter("columns", &width, &resized_width, crop, transform.interpolation);
    let rows = nodes.filter("rows", &height, &resized_height, crop, transform.interpolation);
    let columns = columns.map(|half| nodes.permuted(&format!("{half}.transposed"), &half, &[1, 0]));
    let pixels = nodes.cast("pixels", bytes, ElementType::Float);
    let planes = nodes.permuted("planes", &pixels, &[0, 3, 1, 2]);
    let sums = columns.map(|half| nodes.node("MatMul", &format!("{half}.sum"), &[&planes, &half]));
    let wide = nodes.as_bytes("resized_columns", sums);
    let sums = rows.map(|half| nodes.node("MatMul", &format!("{half}.sum"), &[&half, &wide]));
    let cropped = nodes.as_bytes("cropped", sums);
    nodes.normalised(transform, &cropped)
}

struct Nodes<'g, 'a> {
    graph: &'g mut Graph<'a>,
}

impl Nodes<'_, '_> {
    /// Returns height and width of the images.
    fn sides(&mut self, bytes: &str) -> [String; 2] {
        let shape = self.node("Shape", "shape", &[bytes]);
        [("height", 1), ("width", 2)].map(|(name, index)| {
            let index = self.integer(&format!("{name}.index"), index);
            self.graph
                .node("Gather", name, &[&shape, &index], &[("axis", Attribute::Int(0))])
        })
    }

    /// Returns height and width after the resize, as torchvision computes them.
    fn resized_sides(&mut self, transform: &EvalTransform, sides: [&str; 2]) -> [String; 2] {
        let target = self.integer("resized_side", transform.resize_target() as i64);
        if let ResizeMode::Squash(_) = transform.resize {
            return [target.clone(), target];
        }
        let short = self.node("Min", "short_side", &sides);
        sides.map(|side| {
            let product = self.node("Mul", &format!("{side}.product"), &[side, &target]);
            self.node("Div", &format!("{side}.resized"), &[&product, &short])
        })
    }

    /// Returns the filter weights for a resize from `from` to `to` samples along one axis: a row per sample inside
    /// the centre crop, a column per sample of the image. The weights are integers, split into two matrices: upper and
    /// lower bits.
    fn filter(
        &mut self,
        name: &str,
        from: &str,
        to: &str,
        crop: usize,
        interpolation: Interpolation,
    ) -> [String; 2] {
        let start = self.crop_start(name, to, crop);
        let part = |part: &str| format!("{name}.{part}");
        // Twice the distance of two centres, times both sizes, is an integer, and so exact.
        let positions: Vec<i64> = (0..crop as i64).map(|position| 2 * position + 1).collect();
        let outputs = self
            .graph
            .constant(part("positions"), &[crop, 1], Values::Integers(positions));
        let start = self.node("Add", &part("start_twice"), &[&start, &start]);
        let outputs = self.node("Add", &part("outputs"), &[&outputs, &start]);
        let outputs = self.node("Mul", &part("outputs_scaled"), &[&outputs, from]);
        let (one, two) = (self.integer(&part("one"), 1), self.integer(&part("two"), 2));
        let end = self.node("Mul", &part("end"), &[from, &two]);
        let inputs = self.node("Range", &part("inputs"), &[&one, &end, &two]);
        let inputs = self.node("Mul", &part("inputs_scaled"), &[&inputs, to]);
        let distance = self.node("Sub", &part("distance"), &[&inputs, &outputs]);
        let distance = self.cast(&part("distance_exact"), &distance, ElementType::Double);
        // The filter is stretched when the image becomes smaller.
        let unit = self.node("Max", &part("larger"), &[from, to]);
        let unit = self.node("Mul", &part("unit"), &[&unit, &two]);
        let unit = self.cast(&part("unit_exact"), &unit, ElementType::Double);
        let distance = self.node("Div", &part("distance_in_units"), &[&distance, &unit]);
        let distance = self.node("Abs", &part("x"), &[&distance]);
        let weights = match interpolation {
            Interpolation::Bilinear => self.triangle(name, &distance),
            Interpolation::Bicubic => self.cubic(name, &distance),
        };
        let axis = self.graph.integers(&part("axis"), &[1]);
        let sum = self.node("ReduceSum", &part("sum"), &[&weights, &axis]);
        let weights = self.node("Div", &part("normalised"), &[&weights, &sum]);
        self.halves(name, &weights)
    }

    /// Rounds weights to 22 bits, halves away from zero, and splits them.
    fn halves(&mut self, name: &str, weights: &str) -> [String; 2] {
        let part = |part: &str| format!("{name}.{part}");
        let scale = self.double(&part("scale"), (1 << (2 * HALF_BITS)).into());
        let scaled = self.node("Mul", &part("scaled"), &[weights, &scale]);
        let sign = self.node("Sign", &part("sign"), &[&scaled]);
        let size = self.node("Abs", &part("size"), &[&scaled]);
        let half = self.double(&part("half"), 0.5);
        let size = self.node("Add", &part("raised"), &[&size, &half]);
        let size = self.node("Floor", &part("rounded"), &[&size]);
        let whole = self.node("Mul", &part("whole"), &[&size, &sign]);
        let base = self.double(&part("base"), (1 << HALF_BITS).into());
        let upper = self.node("Div", &part("upper_exact"), &[&whole, &base]);
        let upper = self.node("Floor", &part("upper_floor"), &[&upper]);
        let without = self.node("Mul", &part("upper_scaled"), &[&upper, &base]);
        let lower = self.node("Sub", &part("lower_exact"), &[&whole, &without]);
        [("upper", upper), ("lower", lower)]
            .map(|(half, value)| self.cast(&part(half), &value, ElementType::Float))
    }

    /// Returns the first sample inside the centre crop: half of what is cut off, and halves are rounded to even.
    fn crop_start(&mut self, name: &str, side: &str, crop: usize) -> String {
        let part = |part: &str| format!("{name}.crop_{part}");
        let two = self.integer(&part("two"), 2);
        let crop = self.integer(&part("size"), crop as i64);
        let surplus = self.node("Sub", &part("surplus"), &[side, &crop]);
        let half = self.node("Div", &part("half"), &[&surplus, &two]);
        let is_odd = self.node("Mod", &part("is_odd"), &[&surplus, &two]);
        let is_half_odd = self.node("Mod", &part("is_half_odd"), &[&half, &two]);
        let up = self.node("Mul", &part("up"), &[&is_odd, &is_half_odd]);
        self.node("Add", &part("start"), &[&half, &up])
    }

    /// `max(1 - x, 0)`.
    fn triangle(&mut self, name: &str, x: &str) -> String {
        let one = self.double(&format!("{name}.one_exact"), 1.0);
        let weight = self.node("Sub", &format!("{name}.triangle"), &[&one, x]);
        self.node("Relu", &format!("{name}.weights"), &[&weight])
    }

    /// Pillow's bicubic filter, with the parameter -0.5.
    fn cubic(&mut self, name: &str, x: &str) -> String {
        let inner = self.polynomial(&format!("{name}.inner"), x, [1.5, -2.5, 0.0, 1.0]);
        let outer = self.polynomial(&format!("{name}.outer"), x, [-0.5, 2.5, -4.0, 2.0]);
        let part = |part: &str| format!("{name}.{part}");
        let limits = [("inner", 1.0), ("outer", 2.0)].map(|(limit, value)| {
            let value = self.double(&part(&format!("{limit}_limit")), value);
            self.node("Less", &part(&format!("is_{limit}")), &[x, &value])
        });
        let zero = self.double(&part("zero"), 0.0);
        let outer = self.node("Where", &part("outer_or_zero"), &[&limits[1], &outer, &zero]);
        self.node("Where", &part("weights"), &[&limits[0], &inner, &outer])
    }

    /// A polynomial, highest coefficient first.
    fn polynomial(&mut self, name: &str, x: &str, coefficients: [f64; 4]) -> String {
        let mut constants = Vec::new();
        for (index, value) in coefficients.into_iter().enumerate() {
            constants.push(self.double(&format!("{name}.coefficient_{index}"), value));
        }
        let mut value = constants[0].clone();
        for (index, constant) in constants[1..].iter().enumerate() {
            let product = self.node("Mul", &format!("{name}.product_{index}"), &[&value, x]);
            value = self.node("Add", &format!("{name}.sum_{index}"), &[&product, constant]);
        }
        value
    }

    /// Rounds sums of weighted bytes to bytes, halves up.
    fn as_bytes(&mut self, name: &str, [upper, lower]: [String; 2]) -> String {
        let part = |part: &str| format!("{name}.{part}");
        let unit = self.float(&part("unit"), 1.0 / f32::from(1_u16 << HALF_BITS));
        let half = self.float(&part("half"), (1_u32 << (2 * HALF_BITS - 1)) as f32);
        let raised = self.node("Add", &part("raised"), &[&lower, &half]);
        let carried = self.node("Mul", &part("carried_exact"), &[&raised, &unit]);
        let carried = self.node("Floor", &part("carried"), &[&carried]);
        let sum = self.node("Add", &part("sum"), &[&upper, &carried]);
        let sum = self.node("Mul", &part("exact"), &[&sum, &unit]);
        let rounded = self.node("Floor", &part("rounded"), &[&sum]);
        let (least, most) = (self.float(&part("least"), 0.0), self.float(&part("most"), 255.0));
        self.node("Clip", &part("bytes"), &[&rounded, &least, &most])
    }

    fn normalised(&mut self, transform: &EvalTransform, bytes: &str) -> String {
        let range = self.float("byte_range", 255.0);
        let unit = self.node("Div", "unit_range", &[bytes, &range]);
        let [mean, std] = [("mean", transform.mean), ("std", transform.std)]
            .map(|(name, values)| self.graph.constant(name, &[3, 1, 1], floats(values.to_vec())));
        let centred = self.node("Sub", "centred", &[&unit, &mean]);
        self.node("Div", "normalised", &[&centred, &std])
    }

    fn node(&mut self, operator: &str, name: &str, inputs: &[&str]) -> String {
        self.graph.node(operator, name, inputs, &[])
    }

    fn cast(&mut self, name: &str, value: &str, to: ElementType) -> String {
        let to = ("to", Attribute::Int(to as i64));
        self.graph.node("Cast", name, &[value], &[to])
    }

    fn permuted(&mut self, name: &str, value: &str, order: &[i64]) -> String {
        let order = ("perm", Attribute::Ints(order));
        self.graph.node("Transpose", name, &[value], &[order])
    }

    fn integer(&mut self, name: &str, value: i64) -> String {
        self.graph.constant(name, &[], Values::Integers(vec![value]))
    }

    fn double(&mut self, name: &str, value: f64) -> String {
        self.graph.constant(name, &[], Values::Doubles(vec![value]))
    }

    fn float(&mut self, name: &str, value: f32) -> String {
        self.graph.constant(name, &[], floats(vec![value]))
    }
}

fn floats<'a>(values: Vec<f32>) -> Values<'a> {
    Values::Floats {
        values: values.into(),
        scale: None,
        is_half: false,
    }
}
