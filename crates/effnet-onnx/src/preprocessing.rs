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
use crate::graph::{ElementType, Graph};

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
    let filter = |name, from, to| Filter {
        name,
        from,
        to,
        crop,
        kernel,
    };
    let planes = graph.permuted("planes", bytes, &[0, 3, 1, 2]);
    let (parts, weights) = filter("columns", &*width, &*resized_width).in_blocks(graph);
    // [N, 3, height, blocks, part] becomes [N, 3, blocks, height, part].
    let parts = graph.node_along("Gather", "parts", &[&planes, &parts], 3);
    let parts = graph.permuted("parts.of_blocks", &parts, &[0, 1, 3, 2, 4]);
    let parts = graph.cast("parts.exact", &parts, ElementType::Float);
    let sums = weights.map(|half| graph.apply("MatMul", &format!("{half}.sum"), &[&parts, &half]));
    let wide = as_bytes(graph, "resized_columns", sums);
    let weights = filter("rows", &*height, &*resized_height).whole(graph);
    let sums = weights.map(|half| graph.apply("MatMul", &format!("{half}.sum"), &[&half, &wide]));
    let blocks = as_bytes(graph, "resized", sums);
    let cropped = joined(graph, &blocks, crop);
    normalised(graph, transform, &cropped)
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

/// Puts the blocks of columns, `[N, 3, blocks, rows, columns]`, side by side.
fn joined(graph: &mut Graph<'_>, blocks: &str, crop: usize) -> String {
    let blocks = graph.permuted("blocks_of_rows", blocks, &[0, 1, 3, 2, 4]);
    let side = crop as i64;
    // 0 is the size of the input, -1 what remains.
    let shape = graph.integers("joined.shape", &[0, 3, side, -1]);
    let joined = graph.apply("Reshape", "joined", &[&blocks, &shape]);
    let [start, end, axis] = [("start", 0), ("end", side), ("axis", 3)]
        .map(|(name, value)| graph.integers(&format!("cropped.{name}"), &[value]));
    graph.apply("Slice", "cropped", &[&joined, &start, &end, &axis])
}

fn normalised(graph: &mut Graph<'_>, transform: &EvalTransform, bytes: &str) -> String {
    let range = graph.float("byte_range", 255.0);
    let unit = graph.apply("Div", "unit_range", &[bytes, &range]);
    let [mean, std] = [("mean", transform.mean), ("std", transform.std)]
        .map(|(name, values)| graph.floats(name, &[3, 1, 1], values.to_vec(), false));
    let centred = graph.apply("Sub", "centred", &[&unit, &mean]);
    graph.apply("Div", "normalised", &[&centred, &std])
}
