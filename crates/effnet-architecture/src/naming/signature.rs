//! The sizes that tell one EfficientNet from another.

use super::address::Part;
use super::layout::{Layout, conv, conv_shape};
use super::map::{Top, top_text};
use super::{NamingError, Scheme, TensorShapes};

/// Sizes of a network, read from the names and shapes of its tensors. Which variant they belong to is
/// for whoever owns the table of variants.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Signature {
    /// Whose names the tensors have.
    pub scheme: Scheme,
    /// Output channels of the stem.
    pub stem_channels: usize,
    /// Input channels of the stem: 3 for colour images.
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
    /// The sizes of the network that these tensors belong to, whichever scheme their names have.
    ///
    /// # Errors
    /// [`NamingError`] when it is not an EfficientNet, or a tensor that tells a size is missing.
    pub fn read(shapes: &TensorShapes<'_>) -> Result<Signature, NamingError> {
        let scheme = Scheme::of(shapes)?;
        let layout = Layout::read(shapes, scheme, None)?;
        let top = |top| format!("{}.weight", top_text(scheme, top, &layout));
        let stem = conv_shape(shapes, &top(Top::StemConv))?;
        let head = conv_shape(shapes, &top(Top::HeadConv))?;
        let (mut stage_channels, mut stage_kernels) = (Vec::new(), Vec::new());
        for (index, block) in layout
            .blocks()
            .iter()
            .enumerate()
            .filter(|(_, block)| block.repeat == 0)
        {
            stage_channels.push(conv(shapes, scheme, index, block, Part::ProjectConv)?[0]);
            stage_kernels.push(conv(shapes, scheme, index, block, Part::DepthwiseConv)?[2]);
        }
        Ok(Signature {
            scheme,
            stem_channels: stem[0],
            in_channels: stem[1],
            head_channels: head[0],
            repeats_per_stage: layout.repeats(),
            stage_channels,
            stage_kernels,
            num_classes: classes(shapes, top(Top::Classifier))?,
        })
    }
}

fn classes(shapes: &TensorShapes<'_>, name: String) -> Result<Option<usize>, NamingError> {
    match shapes.get(&name) {
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
