//! Checks that the layers fit together, and converts them for C++.
//!
//! The kernels index memory without bounds checks. Every shape and length that they rely on is checked here, where
//! errors can still name the layer.

use std::ptr;

use crate::raw::{RawBlock, RawBlockKind, RawConvolution};
use crate::{Block, Convolution, Error, Padding, SqueezeExcite};

/// Converts a number to the type that the C++ side uses.
pub(crate) fn small(name: &'static str, value: usize) -> Result<i32, Error> {
    i32::try_from(value).map_err(|_| Error::OutOfRange { name, value })
}

fn shape(sides: &[usize]) -> Vec<i64> {
    sides.iter().map(|&side| side as i64).collect()
}

/// Checks a block against the number of channels of its input.
pub(crate) fn raw_block(block: &Block<'_>, channels: usize) -> Result<RawBlock, Error> {
    let kind = match (&block.depthwise, &block.expand) {
        (Some(_), _) => RawBlockKind::MbConv,
        (None, Some(_)) => RawBlockKind::Fused,
        (None, None) => RawBlockKind::Convolution,
    };
    let expand = match &block.expand {
        Some(expand) if kind == RawBlockKind::MbConv => Some(pointwise(expand, "an expansion", channels)?),
        Some(expand) => Some(raw(expand, "an expansion", channels)?),
        None => None,
    };
    let expanded = block.expand.as_ref().map_or(channels, |expand| expand.shape[0]);
    let project = if kind == RawBlockKind::Convolution {
        raw(&block.project, "a convolution", expanded)?
    } else {
        pointwise(&block.project, "a projection", expanded)?
    };
    let depthwise = match &block.depthwise {
        Some(depthwise) => Some(raw(depthwise, "a depthwise convolution", 1)?),
        None => None,
    };
    let gates = match &block.squeeze_excite {
        Some(SqueezeExcite { reduce, excite }) => {
            let reduced = pointwise(reduce, "a squeeze", expanded)?;
            Some((reduced, pointwise(excite, "an excitation", reduce.shape[0])?))
        }
        None => None,
    };
    let excite = block.squeeze_excite.as_ref().map(|gates| &gates.excite);
    let filters = block
        .depthwise
        .iter()
        .map(|layer| ("a depthwise convolution", layer));
    for (name, layer) in filters.chain(excite.map(|layer| ("an excitation", layer))) {
        if layer.shape[0] != expanded {
            return Err(Error::Shape {
                name,
                expected: vec![expanded as i64, -1, -1, -1],
                found: shape(&layer.shape),
            });
        }
    }
    if block.skip && block.project.shape[0] != channels {
        return Err(Error::Shape {
            name: "the projection of a block with a skip connection",
            expected: vec![channels as i64, -1, -1, -1],
            found: shape(&block.project.shape),
        });
    }
    if kind != RawBlockKind::MbConv && gates.is_some() {
        return Err(Error::Shape {
            name: "the squeeze-and-excitation of a block without a depthwise convolution",
            expected: Vec::new(),
            found: excite.map(|layer| shape(&layer.shape)).unwrap_or_default(),
        });
    }
    Ok(RawBlock {
        has_expand: i32::from(expand.is_some()),
        has_gates: i32::from(gates.is_some()),
        skip: i32::from(block.skip),
        kind: kind as i32,
        expand: expand.unwrap_or(project),
        depthwise: depthwise.unwrap_or(project),
        reduce: gates.map_or(project, |(reduce, _)| reduce),
        excite: gates.map_or(project, |(_, excite)| excite),
        project,
    })
}

/// Like [`raw`], for a convolution with kernel size 1 and stride 1.
pub(crate) fn pointwise(
    convolution: &Convolution<'_>,
    name: &'static str,
    inputs: usize,
) -> Result<RawConvolution, Error> {
    let raw = raw(convolution, name, inputs)?;
    if raw.kernel != 1 || raw.stride != 1 {
        return Err(Error::Shape {
            name,
            expected: vec![-1, inputs as i64, 1, 1],
            found: shape(&convolution.shape),
        });
    }
    Ok(raw)
}

/// Checks a convolution against the number of channels of its input. The result points into `convolution`.
pub(crate) fn raw(
    convolution: &Convolution<'_>,
    name: &'static str,
    inputs: usize,
) -> Result<RawConvolution, Error> {
    let [outputs, found, height, width] = convolution.shape;
    if outputs < 1 || found != inputs || height != width || height < 1 || inputs < 1 {
        return Err(Error::Shape {
            name,
            expected: vec![-1, inputs as i64, -1, -1],
            found: shape(&convolution.shape),
        });
    }
    let scale = convolution.scale.as_deref();
    let lengths = [
        (
            convolution.weight.len(),
            convolution.shape.iter().product::<usize>(),
        ),
        (convolution.bias.len(), outputs),
        (scale.map_or(outputs, <[f64]>::len), outputs),
    ];
    for (found, expected) in lengths {
        if found != expected {
            return Err(Error::Length {
                name,
                expected,
                found,
            });
        }
    }
    if convolution.stride == 0 {
        return Err(Error::OutOfRange {
            name: "a stride",
            value: 0,
        });
    }
    let (same, sides) = match convolution.padding {
        Padding::Same => (1, [0; 4]),
        Padding::Fixed(sides) => (0, sides),
    };
    let mut pad = [0; 4];
    for (to, from) in pad.iter_mut().zip(sides) {
        *to = small("a padding", from)?;
    }
    Ok(RawConvolution {
        weight: convolution.weight.as_ptr(),
        scale: scale.map_or(ptr::null(), <[f64]>::as_ptr),
        bias: convolution.bias.as_ptr(),
        inputs: small("the channels", inputs)?,
        outputs: small("the channels", outputs)?,
        kernel: small("a kernel", height)?,
        stride: small("a stride", convolution.stride)?,
        same,
        pad,
    })
}
