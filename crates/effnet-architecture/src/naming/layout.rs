//! The blocks and stages of a network, read from the names and shapes of its tensors.
//!
//! Schemes number blocks differently, so converting a name requires knowing the stage of each block. The layout is
//! first checked for gaps: otherwise, a file with a missing block would be converted to a smaller network without
//! an error.

use std::collections::{BTreeMap, BTreeSet};

use super::address::{
    Address, Block, BlockLayer, Structure, block_text, layer_text, place_in_block, split_block,
};
use super::{NamingError, Scheme, TensorShapes};
use crate::BlockKind;

/// The blocks of a network, in order.
#[derive(Debug)]
pub(super) struct Layout {
    blocks: Vec<Block>,
    addresses: BTreeMap<Address, usize>,
    /// Name of the classifier's layer, if it is not the scheme's own.
    classifier: Option<String>,
}

impl Layout {
    /// # Errors
    /// An error when a block is missing, a shape is impossible, or `repeats` does not match the blocks.
    pub(super) fn read(
        shapes: &TensorShapes<'_>,
        scheme: Scheme,
        repeats: Option<&[usize]>,
    ) -> Result<Layout, NamingError> {
        let mut layers: BTreeMap<Address, BTreeSet<&str>> = BTreeMap::new();
        for name in shapes.names() {
            let Some((place, _)) = name.rsplit_once('.') else {
                continue;
            };
            if let Some((address, layer)) = split_block(scheme, place) {
                layers.entry(address).or_default().insert(layer);
            }
        }
        let mut blocks: Vec<Block> = Vec::new();
        for (&(stage, repeat), names) in &layers {
            let structure = Structure::infer(scheme, |layer| names.contains(layer));
            let before = blocks.last().map(|block| (block.stage, block.repeat));
            let follows = match before {
                None => (stage, repeat) == (0, 0),
                Some(before) => {
                    (stage, repeat) == (before.0, before.1 + 1) || (stage, repeat) == (before.0 + 1, 0)
                }
            };
            if !follows {
                let missing = before.map_or((0, 0), |before| {
                    if before.0 == stage {
                        (stage, before.1 + 1)
                    } else {
                        (before.0 + 1, 0)
                    }
                });
                let block = Block {
                    stage: missing.0,
                    repeat: missing.1,
                    structure,
                    is_v2: false,
                };
                return Err(NamingError::Missing {
                    name: block_text(scheme, missing.1, &block),
                });
            }
            blocks.push(Block {
                stage,
                repeat,
                structure,
                is_v2: false,
            });
        }
        let is_v2 = blocks
            .iter()
            .any(|block| block.structure.kind() != BlockKind::MbConv);
        for block in &mut blocks {
            block.is_v2 = is_v2;
        }
        let addresses = layers
            .keys()
            .enumerate()
            .map(|(index, &address)| (address, index))
            .collect();
        let mut layout = Layout {
            blocks,
            addresses,
            classifier: None,
        };
        if let Some(repeats) = repeats {
            layout.check(repeats, scheme)?;
        }
        if scheme.numbers_consecutively() {
            let repeats = match repeats {
                Some(repeats) => repeats.to_vec(),
                None => layout.stages_by_shape(shapes, scheme)?,
            };
            layout.assign(&repeats);
        }
        Ok(layout)
    }

    pub(super) fn block(&self, index: usize) -> Option<&Block> {
        self.blocks.get(index)
    }

    /// Returns the consecutive number of the block at an address in the scheme from which the layout was read.
    pub(super) fn find(&self, address: Address) -> Option<usize> {
        self.addresses.get(&address).copied()
    }

    /// Name of the classifier's layer in the scheme that the layout was read from, if it is not the scheme's own.
    pub(super) fn classifier(&self) -> Option<&str> {
        self.classifier.as_deref()
    }

    pub(super) fn set_classifier(&mut self, place: Option<String>) {
        self.classifier = place;
    }

    pub(super) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    pub(super) fn stages(&self) -> usize {
        self.blocks.last().map_or(0, |block| block.stage + 1)
    }

    pub(super) fn repeats(&self) -> Vec<usize> {
        let mut repeats = vec![0; self.stages()];
        self.blocks.iter().for_each(|block| repeats[block.stage] += 1);
        repeats
    }

    fn check(&self, repeats: &[usize], scheme: Scheme) -> Result<(), NamingError> {
        let total = repeats
            .iter()
            .try_fold(0usize, |total, &count| total.checked_add(count));
        let agrees = match scheme {
            _ if scheme.numbers_consecutively() => total == Some(self.blocks.len()) && !repeats.contains(&0),
            _ => self.repeats() == repeats,
        };
        if agrees {
            return Ok(());
        }
        Err(NamingError::Repeats {
            repeats: repeats.to_vec(),
            blocks: self.blocks.len(),
        })
    }

    /// Assigns stages to the consecutively numbered blocks.
    fn assign(&mut self, repeats: &[usize]) {
        let stages = repeats.iter().enumerate();
        let places = stages.flat_map(|(stage, &count)| (0..count).map(move |repeat| (stage, repeat)));
        for (block, (stage, repeat)) in self.blocks.iter_mut().zip(places) {
            (block.stage, block.repeat) = (stage, repeat);
        }
    }

    /// Returns the number of blocks per stage, given that all blocks of a stage have the same structure, kernel size,
    /// width and expansion ratio.
    fn stages_by_shape(&self, shapes: &TensorShapes<'_>, scheme: Scheme) -> Result<Vec<usize>, NamingError> {
        let mut repeats: Vec<usize> = Vec::new();
        let mut before = None;
        for (index, block) in self.blocks.iter().enumerate() {
            let layer = |layer| conv(shapes, scheme, index, block, layer);
            let project = layer(BlockLayer::ProjectConv)?;
            let input = match block.structure {
                Structure::Separable => layer(BlockLayer::DepthwiseConv)?[0],
                Structure::MbConv | Structure::FusedMbConv => layer(BlockLayer::ExpandConv)?[1],
                Structure::Convolution => project[1],
            };
            let ratio = project[1] / input.max(1);
            let kernel = kernel_size(shapes, scheme, index, block)?;
            let kind = (block.structure.kind(), kernel, project[0], ratio);
            match repeats.last_mut() {
                Some(count) if before == Some(kind) => *count += 1,
                _ => repeats.push(1),
            }
            before = Some(kind);
        }
        Ok(repeats)
    }
}

/// Returns the size of the kernel that is not pointwise.
pub(super) fn kernel_size(
    shapes: &TensorShapes<'_>,
    scheme: Scheme,
    index: usize,
    block: &Block,
) -> Result<usize, NamingError> {
    let layer = match block.structure {
        Structure::Separable | Structure::MbConv => BlockLayer::DepthwiseConv,
        Structure::FusedMbConv => BlockLayer::ExpandConv,
        Structure::Convolution => BlockLayer::ProjectConv,
    };
    Ok(conv(shapes, scheme, index, block, layer)?[2])
}

/// Returns the shape `[out, in, height, width]` of the weight of a block's convolution.
pub(super) fn conv(
    shapes: &TensorShapes<'_>,
    scheme: Scheme,
    index: usize,
    block: &Block,
    layer: BlockLayer,
) -> Result<[usize; 4], NamingError> {
    let text = layer_text(scheme, layer, block).unwrap_or_default();
    conv_shape(
        shapes,
        &format!("{}.weight", place_in_block(scheme, index, block, text)),
    )
}

/// Returns the shape `[out, in, height, width]` of the convolution weight with this name.
pub(super) fn conv_shape(shapes: &TensorShapes<'_>, name: &str) -> Result<[usize; 4], NamingError> {
    let shape = shapes.get(name).ok_or_else(|| NamingError::Missing {
        name: name.to_owned(),
    })?;
    <[usize; 4]>::try_from(shape).map_err(|_| NamingError::Shape {
        name: name.to_owned(),
        shape: shape.to_vec(),
        expected: "a convolution weight [out, in, height, width]",
    })
}
