//! The dimensions of a network, read from a file.
//!
//! Most files do not state their variant. The dimensions identify it
//! ([`Variant::recognise`](crate::Variant::recognise)), and include the numbers of classes and input channels.

use super::address::{BlockLayer, Structure, is_squeeze_excite, split_block};
use super::layout::{Layout, conv, conv_shape, kernel_size};
use super::map::{OuterLayer, classifier_text, outer_text, read_layout};
use super::{NamingError, Scheme, TensorShapes};
use crate::{BlockKind, Family};

/// The dimensions of a network, read from the names and shapes of its tensors.
/// [`Variant::recognise`](crate::Variant::recognise) finds the variant with these dimensions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Signature {
    /// Naming scheme of the tensors.
    pub scheme: Scheme,
    /// Number of output channels of the stem.
    pub stem_channels: usize,
    /// Number of input channels of the stem: 3 for colour images.
    pub in_channels: usize,
    /// Number of output channels of the head, which is the number of features that the classifier sees.
    pub head_channels: usize,
    /// Number of blocks per stage.
    pub repeats_per_stage: Vec<usize>,
    /// Number of output channels per stage.
    pub stage_channels: Vec<usize>,
    /// Size of the kernels per stage that are not pointwise.
    pub stage_kernels: Vec<usize>,
    /// Structure of the blocks per stage.
    pub stage_kinds: Vec<BlockKind>,
    /// Whether any block has squeeze-and-excitation.
    pub squeeze_excite: bool,
    /// Number of classes; `None` if the file does not have a classifier.
    pub num_classes: Option<usize>,
    /// Whether channels were pruned, as in timm's `efficientnet_b1_pruned`: the blocks of a stage have widths of
    /// their own, which no [`Config`](crate::Config) describes.
    pub is_pruned: bool,
}

impl Signature {
    /// The family whose blocks the network has.
    pub fn family(&self) -> Family {
        if self.stage_kinds.iter().any(|kind| *kind != BlockKind::MbConv) {
            Family::V2
        } else if self.squeeze_excite {
            Family::V1
        } else {
            Family::Lite
        }
    }

    /// Reads the dimensions of the network to which these tensors belong, in any naming scheme.
    ///
    /// # Errors
    /// [`NamingError`] when the network is not an EfficientNet, or a tensor that defines a dimension is missing.
    pub fn read(shapes: &TensorShapes<'_>) -> Result<Signature, NamingError> {
        let scheme = Scheme::of(shapes)?;
        let layout = read_layout(shapes, scheme, None)?;
        let weight = |layer| format!("{}.weight", outer_text(scheme, layer, &layout));
        let stem = conv_shape(shapes, &weight(OuterLayer::StemConv))?;
        let head = weight(OuterLayer::HeadConv);
        if shapes.get(&head).is_none() {
            return Err(NamingError::Backbone { name: head });
        }
        let head = conv_shape(shapes, &head)?;
        let (mut stage_channels, mut stage_kernels, mut stage_kinds) = (Vec::new(), Vec::new(), Vec::new());
        for (index, block) in layout
            .blocks()
            .iter()
            .enumerate()
            .filter(|(_, block)| block.repeat == 0)
        {
            stage_channels.push(conv(shapes, scheme, index, block, BlockLayer::ProjectConv)?[0]);
            stage_kernels.push(kernel_size(shapes, scheme, index, block)?);
            stage_kinds.push(block.structure.kind());
        }
        Ok(Signature {
            scheme,
            stem_channels: stem[0],
            in_channels: stem[1],
            head_channels: head[0],
            repeats_per_stage: layout.repeats(),
            stage_channels,
            stage_kernels,
            stage_kinds,
            squeeze_excite: has_squeeze_excite(shapes, scheme),
            is_pruned: is_pruned(shapes, scheme, &layout),
            num_classes: classes(shapes, format!("{}.weight", classifier_text(scheme, &layout)))?,
        })
    }
}

/// Whether any block has squeeze-and-excitation: a file in which only some blocks have it is incomplete.
fn has_squeeze_excite(shapes: &TensorShapes<'_>, scheme: Scheme) -> bool {
    shapes.names().any(|name| {
        let layer = name
            .rsplit_once('.')
            .and_then(|(place, _)| split_block(scheme, place));
        layer.is_some_and(|(_, text)| is_squeeze_excite(scheme, text))
    })
}

/// Whether most blocks expand their input to a width that is not a multiple of it, as no published network does; a single
/// odd block is damage.
fn is_pruned(shapes: &TensorShapes<'_>, scheme: Scheme, layout: &Layout) -> bool {
    let expands = |structure| matches!(structure, Structure::MbConv | Structure::FusedMbConv);
    let blocks = layout.blocks().iter().enumerate();
    let expansions: Vec<[usize; 4]> = blocks
        .filter(|(_, block)| expands(block.structure))
        .filter_map(|(index, block)| conv(shapes, scheme, index, block, BlockLayer::ExpandConv).ok())
        .collect();
    let is_odd = |[expanded, input, ..]: &&[usize; 4]| !expanded.is_multiple_of(*input);
    2 * expansions.iter().filter(is_odd).count() > expansions.len()
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
                expected: "a linear weight [classes, features]",
            })
        }
    }
}
