//! The ways in which EfficientNet's parameters are named, and how one becomes another.
//!
//! EfficientNet-PyTorch, torchvision and timm name the same tensors differently, and people bring files of
//! all three. Inside this project parameters have the names of EfficientNet-PyTorch; what a file has is
//! recognised and mapped at load, and mapped back when a file is written for another program. All of it
//! works on names and shapes alone, so that it needs no tensors.

mod address;
mod layout;
mod map;
mod shapes;
mod signature;

pub use shapes::TensorShapes;
pub use signature::Signature;

use crate::nouns::named;
use layout::Layout;
use map::{Name, Role};

/// Whose names the parameters have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `_conv_stem.weight`, `_blocks.0._depthwise_conv.weight`: EfficientNet-PyTorch, and this project.
    Lukemelas,
    /// `features.0.0.weight`, `features.1.0.block.0.0.weight`.
    Torchvision,
    /// `conv_stem.weight`, `blocks.0.0.conv_dw.weight`.
    Timm,
}

named!(Scheme, "naming scheme", {
    Lukemelas => "lukemelas",
    Torchvision => "torchvision",
    Timm => "timm",
});

impl Scheme {
    /// The scheme of these names: the one whose first depthwise convolution is among them. `None` for
    /// another network; a network without its stem, head or classifier is still recognised.
    pub fn recognise<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Scheme> {
        names.into_iter().find_map(|name| match name {
            "_blocks.0._depthwise_conv.weight" => Some(Scheme::Lukemelas),
            "features.1.0.block.0.0.weight" => Some(Scheme::Torchvision),
            "blocks.0.0.conv_dw.weight" => Some(Scheme::Timm),
            _ => None,
        })
    }

    /// As [`recognise`](Self::recognise), where anything else is an error.
    ///
    /// # Errors
    /// [`NamingError::NotEfficientNet`] with the first names.
    pub fn of(shapes: &TensorShapes<'_>) -> Result<Scheme, NamingError> {
        Scheme::recognise(shapes.names()).ok_or_else(|| NamingError::NotEfficientNet {
            first: shapes.names().take(4).map(str::to_owned).collect(),
            count: shapes.names().len(),
        })
    }
}

/// Why names could not be understood or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NamingError {
    /// The names are those of no EfficientNet.
    #[error("these are not the names of an EfficientNet; the first of {count} are: {}", first.join(", "))]
    NotEfficientNet {
        /// The first names.
        first: Vec<String>,
        /// How many there are.
        count: usize,
    },
    /// A tensor that tells the structure is missing.
    #[error("`{name}` is missing; the file is incomplete, or of another network")]
    Missing {
        /// The tensor, in the scheme of the file.
        name: String,
    },
    /// A tensor that tells the structure has a shape that cannot be.
    #[error("`{name}` has shape {shape:?}, and {expected} was expected")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// In words.
        expected: &'static str,
    },
    /// The blocks given for each stage are not those of the file.
    #[error("stages of {repeats:?} blocks were given, and the file has {blocks} blocks")]
    Repeats {
        /// What was given.
        repeats: Vec<usize>,
        /// Blocks in the file.
        blocks: usize,
    },
    /// Two tensors would have one name.
    #[error("`{first}` and `{second}` would both be named `{target}`; remove one of them")]
    Collision {
        /// A tensor.
        first: String,
        /// Another one.
        second: String,
        /// The name in the other scheme.
        target: String,
    },
}

/// How the names of one set of tensors become those of another scheme.
#[derive(Debug)]
pub struct Renaming {
    layout: Layout,
    from: Scheme,
}

impl Renaming {
    /// Reads the blocks and stages of tensors that are named by `from`.
    ///
    /// lukemelas numbers blocks consecutively and the others number them by stage, so from lukemelas the
    /// stages are inferred from shapes: a block begins one when its kernel, its width or its expansion
    /// differs from the block before. Where neighbouring stages of a narrow network agree in all three,
    /// pass the number of blocks of each stage as `repeats`.
    ///
    /// # Errors
    /// [`NamingError`] when a block is missing, or when `repeats` does not match the tensors.
    pub fn read(
        shapes: &TensorShapes<'_>,
        from: Scheme,
        repeats: Option<&[usize]>,
    ) -> Result<Renaming, NamingError> {
        let layout = Layout::read(shapes, from, repeats)?;
        Ok(Renaming { layout, from })
    }

    /// The name in another scheme; `None` when it is not one of the scheme that was read.
    pub fn name(&self, name: &str, to: Scheme) -> Option<String> {
        let Name { role, leaf } = map::parse(self.from, name, &self.layout)?;
        let place = match role {
            Role::Top(top) => map::top_text(to, top, &self.layout),
            Role::Block { index, part } => {
                let block = self.layout.block(index)?;
                let part = map::part_text(to, part, block.expanded)?;
                format!("{}.{part}", map::block_text(to, index, block))
            }
        };
        Some(format!("{place}.{leaf}"))
    }

    /// All names in another scheme, in order. A name that is not one of the scheme that was read stays, so
    /// that strict loading reports it.
    ///
    /// # Errors
    /// [`NamingError::Collision`] when two tensors would get one name.
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
