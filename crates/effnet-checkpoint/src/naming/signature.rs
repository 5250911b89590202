//! The sizes that tell one EfficientNet from another.

use super::layout::{Layout, conv, conv_shape};
use super::map::{Part, Top, top_text};
use super::{NamingError, Scheme};
use crate::{StateDict, Tensor};

/// Sizes of a network, read from the names and shapes of its tensors. Which variant they belong to is
/// for whoever owns the table of variants.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Signature {
    /// Whose names the tensors have.
    pub scheme: Scheme,
    /// Output channels of the stem.
    pub stem_channels: usize,
    /// Input channels of the stem: 3 for colour pictures.
    pub in_channels: usize,
    /// Output channels of the head, which are the features that the classifier sees.
    pub head_channels: usize,
    /// Blocks of each stage.
    pub repeats_per_stage: Vec<usize>,
    /// Output channels of each stage.
    pub stage_channels: Vec<usize>,
    /// Depthwise kernel size of each stage.
    pub stage_kernels: Vec<usize>,
    /// Outputs of the classifier; `None` where the file has none.
    pub num_classes: Option<usize>,
}

impl Signature {
    pub(super) fn read(state_dict: &StateDict, scheme: Scheme) -> Result<Signature, NamingError> {
        let layout = Layout::read(state_dict, scheme, None)?;
        let top = |top| format!("{}.weight", top_text(scheme, top, &layout));
        let stem = conv_shape(state_dict, &top(Top::StemConv))?;
        let head = conv_shape(state_dict, &top(Top::HeadConv))?;
        let (mut stage_channels, mut stage_kernels) = (Vec::new(), Vec::new());
        for (index, block) in layout
            .blocks()
            .iter()
            .enumerate()
            .filter(|(_, block)| block.repeat == 0)
        {
            stage_channels.push(conv(state_dict, scheme, index, block, Part::ProjectConv)?[0]);
            stage_kernels.push(conv(state_dict, scheme, index, block, Part::DepthwiseConv)?[2]);
        }
        Ok(Signature {
            scheme,
            stem_channels: stem[0],
            in_channels: stem[1],
            head_channels: head[0],
            repeats_per_stage: layout.repeats(),
            stage_channels,
            stage_kernels,
            num_classes: classes(state_dict, top(Top::Classifier))?,
        })
    }
}

fn classes(state_dict: &StateDict, name: String) -> Result<Option<usize>, NamingError> {
    match state_dict.get(&name).map(Tensor::shape) {
        None => Ok(None),
        Some(&[classes, _]) => Ok(Some(classes)),
        Some(shape) => {
            let shape = shape.to_vec();
            Err(NamingError::Shape {
                name,
                shape,
                expected: "a linear layer [classes, features]",
            })
        }
    }
}
