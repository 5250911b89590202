//! The names and shapes of tensors, wherever the tensors are stored.
//!
//! Naming and recognition need nothing else, so this crate depends on neither checkpoint files nor libtorch.

use std::collections::HashMap;

/// The names of tensors, in order, with their shapes.
#[derive(Debug, Clone, Default)]
pub struct TensorShapes<'a> {
    names: Vec<&'a str>,
    shapes: HashMap<&'a str, &'a [usize]>,
}

impl<'a> TensorShapes<'a> {
    /// The names, in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &'a str> + '_ {
        self.names.iter().copied()
    }

    /// The shape of the tensor with this name.
    pub fn get(&self, name: &str) -> Option<&'a [usize]> {
        self.shapes.get(name).copied()
    }
}

impl<'a> FromIterator<(&'a str, &'a [usize])> for TensorShapes<'a> {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a [usize])>>(tensors: I) -> Self {
        let mut collected = Self::default();
        for (name, shape) in tensors {
            if collected.shapes.insert(name, shape).is_none() {
                collected.names.push(name);
            }
        }
        collected
    }
}
