//! Naming schemes for EfficientNet's parameters, and conversion between them.
//!
//! EfficientNet-PyTorch, torchvision, timm, transformers and Keras name the same tensors differently, and users have
//! files from all of them. Inside this project, parameters have the names of EfficientNet-PyTorch: other schemes are recognised and
//! mapped when a file is loaded, and mapped back when a file is written for another library. All of this works on
//! names and shapes alone, without tensors.

mod address;
mod head;
mod keras;
mod layout;
mod map;
mod relatives;
mod shapes;
mod signature;

pub use keras::{name_keras_layers, number_keras_layers};
pub use relatives::Relative;
pub use shapes::TensorShapes;
pub use signature::Signature;

use crate::Family;
use crate::named_enum::named;
use layout::Layout;
use map::{Name, Role};

/// A naming scheme for the parameters, called after the library or author that uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `_conv_stem.weight`, `_blocks.0._depthwise_conv.weight`: EfficientNet-PyTorch and this project.
    Lukemelas,
    /// `features.0.0.weight`, `features.1.0.block.0.0.weight`.
    Torchvision,
    /// `conv_stem.weight`, `blocks.0.0.conv_dw.weight`.
    Timm,
    /// `efficientnet.encoder.blocks.0.depthwise_conv.depthwise_conv.weight`: Hugging Face transformers.
    Transformers,
    /// `stem_conv.weight`, `block1a_dwconv.weight`: the layers of `keras.applications`, with PyTorch's names for
    /// their variables.
    Keras,
}

named!(Scheme, "naming scheme", {
    Lukemelas => "lukemelas",
    Torchvision => "torchvision",
    Timm => "timm",
    Transformers => "transformers",
    Keras => "keras",
});

/// Name of a weight of the first block in each scheme: every network has exactly one of them.
pub const ANCHORS: [&str; 5] = [
    "_blocks.0._project_conv.weight",
    "features.1.0.block.0.0.weight",
    "blocks.0.0.bn1.weight",
    "efficientnet.encoder.blocks.0.projection.project_conv.weight",
    "block1a_project_bn.weight",
];

impl Scheme {
    /// Recognises the scheme of these names: the one whose name of a weight of the first block is among them.
    /// Returns `None` for other networks. A network without its stem, head or classifier is still recognised.
    pub fn recognise<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Scheme> {
        names.into_iter().find_map(|name| {
            let at = ANCHORS.iter().position(|&anchor| anchor == name)?;
            Scheme::ALL.get(at).copied()
        })
    }

    /// Whether the library has networks of this family. Networks of families that it does not have cannot be given its
    /// names, except that those of V2 have names of this project in [`Scheme::Lukemelas`].
    pub fn has(self, family: Family) -> bool {
        match self {
            Self::Lukemelas => family != Family::V2,
            Self::Torchvision | Self::Keras => family != Family::Lite,
            Self::Timm => true,
            Self::Transformers => family == Family::V1,
        }
    }

    /// Whether the numbers of blocks do not start again in each stage.
    fn numbers_consecutively(self) -> bool {
        matches!(self, Scheme::Lukemelas | Scheme::Transformers)
    }

    /// Like [`recognise`](Self::recognise), but returns an error for other networks.
    ///
    /// # Errors
    /// [`NamingError::Relative`] for a relative of EfficientNet, otherwise [`NamingError::NotEfficientNet`], which
    /// lists the first names.
    pub fn of(shapes: &TensorShapes<'_>) -> Result<Scheme, NamingError> {
        if let Some(relative) = Relative::recognise(shapes) {
            return Err(NamingError::Relative(relative));
        }
        if let Some(scheme) = Scheme::recognise(shapes.names()) {
            return Ok(scheme);
        }
        // Numbered layers of Keras that could not be named before.
        name_keras_layers(shapes)?;
        Err(NamingError::NotEfficientNet {
            first: shapes.names().take(4).map(str::to_owned).collect(),
            count: shapes.names().len(),
        })
    }
}

/// The reason why names could not be recognised or converted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NamingError {
    /// The names do not match any naming scheme.
    #[error("the tensor names do not match any EfficientNet naming scheme; the first of {count}: {}", first.join(", "))]
    NotEfficientNet {
        /// The first names.
        first: Vec<String>,
        /// Number of names.
        count: usize,
    },
    /// The tensors belong to a relative of EfficientNet.
    #[error("{0}")]
    Relative(Relative),
    /// The numbered layers of a Keras file are not in the order of an EfficientNet.
    #[error("layer `{layer}`: expected {expected}, as in Keras's EfficientNet and EfficientNetV2")]
    Order {
        /// The layer in the file.
        layer: String,
        /// The role that the layer should have.
        expected: &'static str,
    },
    /// A tensor that defines the structure is missing.
    #[error("`{name}` is missing: the file is incomplete or contains a different network")]
    Missing {
        /// Name of the tensor, in the scheme of the file.
        name: String,
    },
    /// The blocks of a network without the convolution after them.
    #[error(
        "a backbone without a head (`{name}` is missing), such as that of a detector; expected a whole network, which \
         can classify"
    )]
    Backbone {
        /// Name of the head's weight, in the scheme of the file.
        name: String,
    },
    /// A tensor that defines the structure has an impossible shape.
    #[error("`{name}` has shape {shape:?}, expected {expected}")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Description of the expected shape.
        expected: &'static str,
    },
    /// The requested blocks per stage do not match the file.
    #[error("{repeats:?} blocks per stage do not match the file, which has {blocks} blocks in total")]
    Repeats {
        /// The requested number of blocks per stage.
        repeats: Vec<usize>,
        /// Number of blocks in the file.
        blocks: usize,
    },
    /// Two tensors would get the same name.
    #[error("`{first}` and `{second}` would both be named `{target}`; remove one of them")]
    Collision {
        /// Name of one tensor.
        first: String,
        /// Name of the other.
        second: String,
        /// The name that both would get.
        target: String,
    },
}

/// Converts the names of one set of tensors to other schemes.
#[derive(Debug)]
pub struct Renaming {
    layout: Layout,
    from: Scheme,
}

impl Renaming {
    /// Reads the blocks and stages of a network from tensors whose names follow the scheme `from`.
    ///
    /// lukemelas and transformers number blocks consecutively, while the other schemes number them per stage. For
    /// these two, stages are therefore inferred from shapes: a block starts a new stage if its structure, kernel size, width or
    /// expansion ratio differs from that of the previous block. If adjacent stages of a narrow network agree in
    /// all of these, pass the number of blocks per stage as `repeats`.
    ///
    /// # Errors
    /// [`NamingError`] when a block is missing, or when `repeats` does not match the tensors.
    pub fn read(
        shapes: &TensorShapes<'_>,
        from: Scheme,
        repeats: Option<&[usize]>,
    ) -> Result<Renaming, NamingError> {
        let layout = map::read_layout(shapes, from, repeats)?;
        Ok(Renaming { layout, from })
    }

    /// Converts a name to another scheme. Returns `None` if it does not belong to the scheme that was read.
    pub fn name(&self, name: &str, to: Scheme) -> Option<String> {
        let Name { role, leaf } = map::parse(self.from, name, &self.layout)?;
        let place = match role {
            // Not a classifier in any scheme; a name of its own, so that loading without the head can skip it.
            Role::Head => {
                let head = map::outer_text(Scheme::Lukemelas, map::OuterLayer::Classifier, &self.layout);
                return (to == Scheme::Lukemelas).then(|| format!("{head}.{name}"));
            }
            Role::Outer(layer) => map::outer_text(to, layer, &self.layout),
            Role::Block { index, layer } => {
                let block = self.layout.block(index)?;
                let layer = map::layer_text(to, layer, block)?;
                map::place_in_block(to, index, block, layer)
            }
        };
        Some(format!("{place}.{leaf}"))
    }

    /// Converts all names to another scheme, in order. Names that do not belong to the scheme that was read are
    /// kept, so that strict loading reports them.
    ///
    /// # Errors
    /// [`NamingError::Collision`] when two tensors would get the same name.
    pub fn names<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
        to: Scheme,
    ) -> Result<Vec<String>, NamingError> {
        let mut renamed: Vec<String> = Vec::new();
        let mut taken = std::collections::HashMap::new();
        for name in names {
            let target = self.name(name, to).unwrap_or_else(|| name.to_owned());
            if let Some(first) = taken.insert(target.clone(), name) {
                return Err(NamingError::Collision {
                    first: first.to_owned(),
                    second: name.to_owned(),
                    target,
                });
            }
            renamed.push(target);
        }
        Ok(renamed)
    }
}
