//! The three ways in which EfficientNet's parameters are named, and how one becomes another.

mod layout;
mod map;
mod signature;

use std::fmt;
use std::str::FromStr;

pub use signature::Signature;

use crate::StateDict;
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

impl Scheme {
    /// All of them.
    pub const ALL: [Scheme; 3] = [Scheme::Lukemelas, Scheme::Torchvision, Scheme::Timm];

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
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Scheme::Lukemelas => "lukemelas",
            Scheme::Torchvision => "torchvision",
            Scheme::Timm => "timm",
        })
    }
}

impl FromStr for Scheme {
    type Err = NamingError;

    fn from_str(text: &str) -> Result<Scheme, NamingError> {
        let found = Scheme::ALL.into_iter().find(|scheme| scheme.to_string() == text);
        found.ok_or_else(|| NamingError::UnknownScheme {
            text: text.to_owned(),
        })
    }
}

/// Why names could not be understood or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NamingError {
    /// A scheme was named that does not exist.
    #[error("`{text}` is no naming scheme; there are lukemelas, torchvision and timm")]
    UnknownScheme {
        /// What was given.
        text: String,
    },
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

impl StateDict {
    /// The same tensors under the names of another scheme. A name that the scheme does not know is kept,
    /// so that strict loading reports it.
    ///
    /// lukemelas numbers blocks through and the others number them by stage, so from lukemelas the stages
    /// are told by shapes: a block begins one when its kernel, its width or its expansion differs from
    /// the block before. Where neighbouring stages of a narrow network agree in all three, use
    /// [`StateDict::to_scheme_with_repeats`].
    ///
    /// # Errors
    /// [`NamingError`] when a block is missing or two tensors would get one name.
    pub fn to_scheme(&self, from: Scheme, to: Scheme) -> Result<StateDict, NamingError> {
        self.convert(from, to, None)
    }

    /// As [`StateDict::to_scheme`], with the number of blocks of each stage given.
    ///
    /// # Errors
    /// Also when these are not the numbers of the file.
    pub fn to_scheme_with_repeats(
        &self,
        from: Scheme,
        to: Scheme,
        repeats: &[usize],
    ) -> Result<StateDict, NamingError> {
        self.convert(from, to, Some(repeats))
    }

    /// The same tensors under the lukemelas names, whichever of the three schemes they have now.
    ///
    /// # Errors
    /// [`NamingError::NotEfficientNet`] when it is none of them, otherwise as [`StateDict::to_scheme`].
    pub fn to_canonical(&self) -> Result<StateDict, NamingError> {
        self.to_scheme(self.recognised()?, Scheme::Lukemelas)
    }

    /// The sizes of the network that these tensors belong to, whichever scheme their names have.
    ///
    /// # Errors
    /// [`NamingError`] when it is no EfficientNet, or a tensor that tells a size is missing.
    pub fn signature(&self) -> Result<Signature, NamingError> {
        Signature::read(self, self.recognised()?)
    }

    fn recognised(&self) -> Result<Scheme, NamingError> {
        Scheme::recognise(self.names()).ok_or_else(|| NamingError::NotEfficientNet {
            first: self.names().take(4).map(str::to_owned).collect(),
            count: self.len(),
        })
    }

    fn convert(&self, from: Scheme, to: Scheme, repeats: Option<&[usize]>) -> Result<StateDict, NamingError> {
        if from == to {
            return Ok(self.clone());
        }
        let layout = Layout::read(self, from, repeats)?;
        let mut converted = StateDict::new();
        for (name, tensor) in self.iter() {
            let target = translate(&layout, name, from, to).unwrap_or_else(|| name.to_owned());
            if converted.contains(&target) {
                let named =
                    |other: &&str| translate(&layout, other, from, to).as_deref().unwrap_or(other) == target;
                let first = self.names().find(named).unwrap_or_default().to_owned();
                return Err(NamingError::Collision {
                    first,
                    second: name.to_owned(),
                    target,
                });
            }
            converted.insert(target, tensor.clone());
        }
        Ok(converted)
    }
}

/// The name in another scheme; `None` when it is none of `from`'s.
fn translate(layout: &Layout, name: &str, from: Scheme, to: Scheme) -> Option<String> {
    let Name { role, leaf } = map::parse(from, name, layout)?;
    let place = match role {
        Role::Top(top) => map::top_text(to, top, layout),
        Role::Block { index, part } => {
            let block = layout.block(index)?;
            let part = map::part_text(to, part, block.expanded)?;
            format!("{}.{part}", map::block_text(to, index, block))
        }
    };
    Some(format!("{place}.{leaf}"))
}
