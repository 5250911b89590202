//! All differences between a state dict and a network, in one message.

use std::fmt;

/// A tensor with the wrong shape.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WrongShape {
    /// Name in the network.
    pub name: String,
    /// Shape in the network.
    pub expected: Vec<usize>,
    /// Shape in the file.
    pub found: Vec<usize>,
}

/// All differences between a state dict and a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mismatch {
    /// Tensors of the network that the state dict does not have.
    pub missing: Vec<String>,
    /// Tensors of the state dict that the network does not have.
    pub unexpected: Vec<String>,
    /// Tensors whose shapes differ.
    pub wrong_shape: Vec<WrongShape>,
    /// Tensors whose element type the parameter cannot have, with the type found.
    pub wrong_type: Vec<(String, String)>,
    /// A guess at what the state dict is, and advice on what to do.
    pub hint: Option<String>,
}

impl Mismatch {
    /// Whether there are no differences.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty()
            && self.unexpected.is_empty()
            && self.wrong_shape.is_empty()
            && self.wrong_type.is_empty()
    }
}

/// Maximum number of names that a message lists per kind of difference; the wrong variant gives hundreds.
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
        write!(f, "the tensors do not match the network")?;
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
