//! The layers as the C side reads them, checked against each other.

use std::ptr;

use tch::{Device, Kind, Tensor};

use crate::{Convolution, Error, FusedBlock, Padding};

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct RawConvolution {
    pub(crate) weight: *const f32,
    /// Null for none.
    pub(crate) scale: *const f64,
    pub(crate) bias: *const f32,
    pub(crate) inputs: i32,
    pub(crate) outputs: i32,
    pub(crate) kernel: i32,
    pub(crate) stride: i32,
    pub(crate) same: i32,
    pub(crate) pad: [i32; 4],
}

#[repr(C)]
pub(crate) struct RawBlock {
    pub(crate) has_expand: i32,
    pub(crate) skip: i32,
    pub(crate) expand: RawConvolution,
    pub(crate) depthwise: RawConvolution,
    pub(crate) reduce: RawConvolution,
    pub(crate) excite: RawConvolution,
    pub(crate) project: RawConvolution,
}

#[repr(C)]
pub(crate) struct RawSpec {
    pub(crate) stem: RawConvolution,
    pub(crate) head: RawConvolution,
    pub(crate) blocks: *const RawBlock,
    pub(crate) block_count: i32,
    pub(crate) has_classifier: i32,
    pub(crate) classifier: RawConvolution,
    pub(crate) bf16: i32,
    pub(crate) threads: i32,
    pub(crate) instruction_set: i32,
}

/// The tensor as contiguous floats on the CPU, itself where it is that already.
pub(crate) fn floats(tensor: &Tensor) -> Result<Tensor, Error> {
    Ok(tensor
        .f_to_device(Device::Cpu)?
        .f_to_kind(Kind::Float)?
        .f_contiguous()?)
}

pub(crate) fn dimension(tensor: &Tensor, index: usize) -> i64 {
    tensor.size().get(index).copied().unwrap_or(-1)
}

pub(crate) fn small(name: &'static str, value: i64) -> Result<i32, Error> {
    i32::try_from(value)
        .ok()
        .filter(|&value| value >= 0)
        .ok_or(Error::OutOfRange { name, value })
}

pub(crate) fn raw_block(
    block: &FusedBlock,
    channels: i64,
    keep: &mut Vec<Tensor>,
) -> Result<RawBlock, Error> {
    let expand = match &block.expand {
        Some(expand) => Some(raw(expand, "an expansion", channels, keep)?),
        None => None,
    };
    let expanded = expand.map_or(channels, |expand| i64::from(expand.outputs));
    let depthwise = raw(&block.depthwise, "a depthwise convolution", 1, keep)?;
    let reduce = raw(&block.reduce, "a squeeze", expanded, keep)?;
    let excite = raw(&block.excite, "an excitation", i64::from(reduce.outputs), keep)?;
    let project = raw(&block.project, "a projection", expanded, keep)?;
    for (name, found) in [
        ("a depthwise convolution", depthwise.outputs),
        ("an excitation", excite.outputs),
    ] {
        if i64::from(found) != expanded {
            return Err(Error::Shape {
                name,
                expected: vec![expanded, -1, -1, -1],
                found: vec![found.into()],
            });
        }
    }
    if block.skip && i64::from(project.outputs) != channels {
        let (expected, found) = (vec![channels], vec![project.outputs.into()]);
        return Err(Error::Shape {
            name: "a projection beside a skip",
            expected,
            found,
        });
    }
    Ok(RawBlock {
        has_expand: i32::from(expand.is_some()),
        skip: i32::from(block.skip),
        expand: expand.unwrap_or(project),
        depthwise,
        reduce,
        excite,
        project,
    })
}

/// Checks a convolution against the channels it will be given; its tensors are put into `keep`.
pub(crate) fn raw(
    convolution: &Convolution,
    name: &'static str,
    inputs: i64,
    keep: &mut Vec<Tensor>,
) -> Result<RawConvolution, Error> {
    let size = convolution.weight.size();
    if size.len() != 4 || size[0] < 1 || size[1] != inputs || size[2] != size[3] || inputs < 1 {
        return Err(Error::Shape {
            name,
            expected: vec![-1, inputs, -1, -1],
            found: size,
        });
    }
    let bias = convolution.bias.size();
    if bias != size[..1] {
        return Err(Error::Shape {
            name,
            expected: size[..1].to_vec(),
            found: bias,
        });
    }
    let scale = match &convolution.scale {
        Some(scale) if scale.size() == size[..1] => {
            let doubles = scale.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?;
            Some(doubles.f_contiguous()?)
        }
        Some(scale) => {
            return Err(Error::Shape {
                name,
                expected: size[..1].to_vec(),
                found: scale.size(),
            });
        }
        None => None,
    };
    let stride = small("a stride", convolution.stride)?;
    if stride == 0 {
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
    let (weight, bias) = (floats(&convolution.weight)?, floats(&convolution.bias)?);
    let raw = RawConvolution {
        weight: weight.data_ptr().cast::<f32>(),
        scale: scale
            .as_ref()
            .map_or(ptr::null(), |scale| scale.data_ptr().cast::<f64>().cast_const()),
        bias: bias.data_ptr().cast::<f32>(),
        inputs: small("the channels", inputs)?,
        outputs: small("the channels", size[0])?,
        kernel: small("a kernel", size[2])?,
        stride,
        same,
        pad,
    };
    keep.extend([weight, bias].into_iter().chain(scale));
    Ok(raw)
}
