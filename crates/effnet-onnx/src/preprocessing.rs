//! The evaluation transform as nodes: bytes in, normalised images out.
//!
//! A service that feeds a network from another language has to repeat the resize, the crop and the normalisation of
//! training, and few libraries have Pillow's filters. ONNX's `Resize` has an antialiased one from opset 18 on, but
//! runtimes differ in it: OpenVINO ignores `antialias`, and bilinear interpolation weighs the border twice. A resize is
//! two products with matrices of filter weights, though, which every runtime computes alike. The graph computes the
//! matrices from the size of the image, for the rows and columns inside the crop only. Most weights of a column are
//! zero, so the columns are computed in blocks, each from the part of the image that it needs.
//!
//! Sizes such as 640 and 256 make ties frequent: sums that are exactly between two bytes. Pillow decides them by the
//! rounding of its weights to 22 bits, so the graph rounds them alike, in doubles, and splits them into halves of 11
//! bits: products of a byte and half a weight are integers so small that 32-bit floats add them without an error. A
//! runtime that has no doubles differs from Pillow in ties only, by one level.

use effnet_image::{EvalTransform, ResizeMode};

use crate::ExportError;
use crate::filter::{Filter, HALF_BITS, Kernel};
use crate::graph::{Attribute, ElementType, Graph, Side};

/// Checks that the graph can do what the transform does, and returns the kernel of its resize.
pub(crate) fn check(transform: &EvalTransform, channels: usize) -> Result<Kernel, ExportError> {
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
    Kernel::of(transform.interpolation).ok_or_else(|| ExportError::Preprocessing {
        expected: "a bilinear or bicubic resize".to_owned(),
        found: format!("{} interpolation", transform.interpolation),
    })
}

/// Adds the transform, and returns the name of the normalised images. `bytes` is `[N, height, width, 3]`.
pub(crate) fn add(graph: &mut Graph<'_>, transform: &EvalTransform, kernel: Kernel, bytes: &str) -> String {
    let crop = transform.image_size;
    let [height, width] = sides(graph, bytes);
    let [resized_height, resized_width] = resized_sides(graph, transform, [&height, &width]);
    let is_turned = is_vertical_first(graph, [&height, &width], [&resized_height, &resized_width]);
    let planes = planes(graph, bytes, &is_turned);
    // The columns of a turned image are its rows.
    let mut chosen =
        |name, turned: &str, usual: &str| graph.apply("Where", name, &[&is_turned, turned, usual]);
    let [first_from, first_to] = [
        chosen("first.from", &height, &width),
        chosen("first.to", &resized_height, &resized_width),
    ];
    let [second_from, second_to] = [
        chosen("second.from", &width, &height),
        chosen("second.to", &resized_width, &resized_height),
    ];
    let filter = |name, from, to| Filter {
        name,
        from,
        to,
        crop,
        kernel,
    };
    let (parts, weights) = filter("first", &*first_from, &*first_to).in_blocks(graph);
    // [N, 3, rows, blocks, part] becomes [N, 3, blocks, rows, part].
    let parts = graph.node_along("Gather", "parts", &[&planes, &parts], 3);
    let parts = graph.permuted("parts.of_blocks", &parts, &[0, 1, 3, 2, 4]);
    let parts = graph.cast("parts.exact", &parts, ElementType::Float);
    let sums = weights.map(|half| graph.apply("MatMul", &format!("{half}.sum"), &[&parts, &half]));
    let between = as_bytes(graph, "first.pass", sums);
    let weights = filter("second", &*second_from, &*second_to).whole(graph);
    let sums = weights.map(|half| graph.apply("MatMul", &format!("{half}.sum"), &[&half, &between]));
    let blocks = as_bytes(graph, "second.pass", sums);
    let joined = joined(graph, &blocks, crop);
    let turned_back = graph.permuted("turned_back", &joined, &[0, 1, 3, 2]);
    let cropped = graph.apply("Where", "cropped", &[&is_turned, &turned_back, &joined]);
    normalised(graph, transform, &cropped)
}

/// Returns whether the vertical pass comes first. Pillow runs it first if it removes more than twice as many rows as
/// the horizontal pass removes columns, and the rounding between the passes makes the order visible.
fn is_vertical_first(graph: &mut Graph<'_>, from: [&str; 2], to: [&str; 2]) -> String {
    let [rows, columns] =
        [0, 1].map(|axis| graph.apply("Sub", &format!("{}.removed", from[axis]), &[from[axis], to[axis]]));
    let (zero, two) = (graph.integer("none_removed", 0), graph.integer("two_columns", 2));
    let twice = graph.apply("Mul", "twice_the_columns", &[&columns, &two]);
    let least = graph.apply("Max", "least_rows_removed", &[&twice, &zero]);
    graph.apply("Greater", "is_vertical_first", &[&rows, &least])
}

/// Returns the images as `[N, 3, height, width]`, or turned, as `[N, 3, width, height]`.
fn planes(graph: &mut Graph<'_>, bytes: &str, is_turned: &str) -> String {
    let branch = |name: &str, order: &[i64]| {
        let mut branch = Graph::default();
        let value = branch.permuted(name, bytes, order);
        let sides = ["any_batch", "any_plane", "any_row", "any_column"].map(Side::Named);
        branch.output(&value, ElementType::UInt8, &sides);
        branch.description(name)
    };
    let turned = branch("turned_planes", &[0, 3, 2, 1]);
    let usual = branch("usual_planes", &[0, 3, 1, 2]);
    graph.node(
        "If",
        "planes",
        &[is_turned],
        &[
            ("then_branch", Attribute::Graph(&turned)),
            ("else_branch", Attribute::Graph(&usual)),
        ],
    )
}

/// Returns height and width of the images.
fn sides(graph: &mut Graph<'_>, bytes: &str) -> [String; 2] {
    let shape = graph.apply("Shape", "shape", &[bytes]);
    [("height", 1), ("width", 2)].map(|(name, index)| {
        let index = graph.integer(&format!("{name}.index"), index);
        graph.node_along("Gather", name, &[&shape, &index], 0)
    })
}

/// Returns height and width after the resize, as torchvision computes them.
fn resized_sides(graph: &mut Graph<'_>, transform: &EvalTransform, sides: [&str; 2]) -> [String; 2] {
    let target = graph.integer("resized_side", transform.resize_target() as i64);
    if let ResizeMode::Squash(_) = transform.resize {
        return [target.clone(), target];
    }
    let short = graph.apply("Min", "short_side", &sides);
    sides.map(|side| {
        let product = graph.apply("Mul", &format!("{side}.product"), &[side, &target]);
        graph.apply("Div", &format!("{side}.resized"), &[&product, &short])
    })
}

/// Rounds sums of weighted bytes to bytes, halves up.
fn as_bytes(graph: &mut Graph<'_>, name: &str, [upper, lower]: [String; 2]) -> String {
    let part = |part: &str| format!("{name}.{part}");
    let unit = graph.float(&part("unit"), 1.0 / f32::from(1_u16 << HALF_BITS));
    let half = graph.float(&part("half"), (1_u32 << (2 * HALF_BITS - 1)) as f32);
    let raised = graph.apply("Add", &part("raised"), &[&lower, &half]);
    let carried = graph.apply("Mul", &part("carried_exact"), &[&raised, &unit]);
    let carried = graph.apply("Floor", &part("carried"), &[&carried]);
    let sum = graph.apply("Add", &part("sum"), &[&upper, &carried]);
    let sum = graph.apply("Mul", &part("exact"), &[&sum, &unit]);
    let rounded = graph.apply("Floor", &part("rounded"), &[&sum]);
    let (least, most) = (
        graph.float(&part("least"), 0.0),
        graph.float(&part("most"), 255.0),
    );
    graph.apply("Clip", &part("bytes"), &[&rounded, &least, &most])
}

/// Puts the blocks of columns, `[N, 3, blocks, rows, columns]`, side by side, without the repeated columns of the last.
fn joined(graph: &mut Graph<'_>, blocks: &str, crop: usize) -> String {
    let blocks = graph.permuted("blocks_of_rows", blocks, &[0, 1, 3, 2, 4]);
    let side = crop as i64;
    // 0 is the size of the input, -1 what remains.
    let shape = graph.integers("joined.shape", &[0, 3, side, -1]);
    let joined = graph.apply("Reshape", "joined", &[&blocks, &shape]);
    let [start, end, axis] = [("start", 0), ("end", side), ("axis", 3)]
        .map(|(name, value)| graph.integers(&format!("without_repeated.{name}"), &[value]));
    graph.apply("Slice", "without_repeated", &[&joined, &start, &end, &axis])
}

fn normalised(graph: &mut Graph<'_>, transform: &EvalTransform, bytes: &str) -> String {
    let range = graph.float("byte_range", 255.0);
    let unit = graph.apply("Div", "unit_range", &[bytes, &range]);
    let [mean, std] = [("mean", transform.mean), ("std", transform.std)]
        .map(|(name, values)| graph.floats(name, &[3, 1, 1], values.to_vec(), false));
    let centred = graph.apply("Sub", "centred", &[&unit, &mean]);
    graph.apply("Div", "normalised", &[&centred, &std])
}
