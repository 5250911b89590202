//! What can go wrong when a network is built, filled or run.

use std::fmt;

use crate::Profile;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No variant has this name.
    #[error("unknown model `{name}`, expected one of b0 to b8 or l2; nearest: {}", nearest.join(", "))]
    UnknownVariant {
        /// The name that was asked for.
        name: String,
        /// The names that differ least from it.
        nearest: Vec<&'static str>,
    },
    /// No profile has this name.
    #[error("unknown profile `{name}`, expected one of {}", Profile::ALL.map(Profile::name).join(", "))]
    UnknownProfile {
        /// The name that was asked for.
        name: String,
    },
    /// A field of the configuration is out of its range.
    #[error("{field} is {found}, expected {expected}")]
    InvalidConfig {
        /// The field of [`Config`](crate::Config).
        field: &'static str,
        /// The range that it must lie in.
        expected: &'static str,
        /// Its value.
        found: String,
    },
    /// The path in the variable store holds a network already.
    #[error("the variable store already has `{name}`: build each network under a path of its own")]
    Occupied {
        /// The variable that would have been made twice.
        name: String,
    },
    /// The tensors of a state dict are not those of the network.
    #[error("{0}")]
    Mismatch(Box<Mismatch>),
    /// The names of a state dict are those of no EfficientNet, or not all are there.
    #[error(transparent)]
    Naming(#[from] effnet_checkpoint::NamingError),
    /// The numbers of a tensor cannot be read.
    #[error(transparent)]
    Tensor(#[from] effnet_checkpoint::TensorError),
    /// libtorch refused an operation.
    #[error("libtorch: {}", first_line(&.0.to_string()))]
    Torch(#[from] tch::TchError),
}

/// libtorch appends a C++ backtrace to its messages, which says nothing to a user.
fn first_line(message: &str) -> &str {
    message.lines().next().unwrap_or_default()
}

/// One tensor whose shape differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongShape {
    /// Its name in the network.
    pub name: String,
    /// The network's shape.
    pub expected: Vec<i64>,
    /// The file's shape.
    pub found: Vec<i64>,
}

/// All differences between a state dict and a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// Tensors of the network that the state dict lacks.
    pub missing: Vec<String>,
    /// Tensors of the state dict that the network lacks.
    pub unexpected: Vec<String>,
    /// Tensors whose shapes differ.
    pub wrong_shape: Vec<WrongShape>,
    /// Tensors whose numbers cannot be those of a parameter, with their type.
    pub wrong_type: Vec<(String, String)>,
    /// What the state dict seems to be, and what to do.
    pub hint: Option<String>,
}

impl Mismatch {
    /// Whether there is no difference.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty()
            && self.unexpected.is_empty()
            && self.wrong_shape.is_empty()
            && self.wrong_type.is_empty()
    }
}

/// How many names of each kind a message spells out; a wrong variant has hundreds.
const LISTED: usize = 20;

fn list<T>(f: &mut fmt::Formatter<'_>, title: &str, items: &[T], show: impl Fn(&T) -> String) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    write!(f, "\n  {title} ({}):", items.len())?;
    for item in items.iter().take(LISTED) {
        write!(f, "\n    {}", show(item))?;
    }
    if items.len() > LISTED {
        write!(f, "\n    and {} more", items.len() - LISTED)?;
    }
    Ok(())
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the tensors do not fit the network")?;
        if let Some(hint) = &self.hint {
            write!(f, ": {hint}")?;
        }
        list(f, "missing", &self.missing, Clone::clone)?;
        list(f, "unexpected", &self.unexpected, Clone::clone)?;
        list(f, "wrong shape", &self.wrong_shape, |wrong| {
            format!(
                "{}: expected {:?}, found {:?}",
                wrong.name, wrong.expected, wrong.found
            )
        })?;
        list(f, "wrong type", &self.wrong_type, |(name, found)| {
            format!("{name}: expected floating-point numbers, found {found}")
        })
    }
}
