//! Named tensors, in order.

use indexmap::IndexMap;

use crate::Tensor;

/// Tensors by name, in the order of the file or of insertion. Cloning it copies no elements.
#[derive(Debug, Clone, Default)]
pub struct StateDict {
    tensors: IndexMap<String, Tensor>,
}

impl StateDict {
    /// Creates an empty state_dict.
    pub fn new() -> StateDict {
        StateDict::default()
    }

    /// Returns the tensor with this name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// Returns whether a tensor has this name.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Adds a tensor at the end, or replaces the one with this name in place and returns the old one.
    pub fn insert(&mut self, name: impl Into<String>, tensor: Tensor) -> Option<Tensor> {
        self.tensors.insert(name.into(), tensor)
    }

    /// Removes a tensor; the others keep their order.
    pub fn remove(&mut self, name: &str) -> Option<Tensor> {
        self.tensors.shift_remove(name)
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there are no tensors.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Names and tensors in order.
    pub fn iter(&self) -> StateDictIter<'_> {
        StateDictIter(self.tensors.iter())
    }

    /// Names in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The total size of all tensors in bytes, each counted in full even if several share a storage.
    pub fn nbytes(&self) -> usize {
        self.tensors.values().map(Tensor::nbytes).sum()
    }
}

impl<S: Into<String>> FromIterator<(S, Tensor)> for StateDict {
    fn from_iter<I: IntoIterator<Item = (S, Tensor)>>(tensors: I) -> StateDict {
        StateDict {
            tensors: tensors
                .into_iter()
                .map(|(name, tensor)| (name.into(), tensor))
                .collect(),
        }
    }
}

impl<S: Into<String>> Extend<(S, Tensor)> for StateDict {
    fn extend<I: IntoIterator<Item = (S, Tensor)>>(&mut self, tensors: I) {
        let named = tensors.into_iter().map(|(name, tensor)| (name.into(), tensor));
        self.tensors.extend(named);
    }
}

impl IntoIterator for StateDict {
    type Item = (String, Tensor);
    type IntoIter = StateDictIntoIter;

    fn into_iter(self) -> Self::IntoIter {
        StateDictIntoIter(self.tensors.into_iter())
    }
}

impl<'a> IntoIterator for &'a StateDict {
    type Item = (&'a str, &'a Tensor);
    type IntoIter = StateDictIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The names and tensors of a [`StateDict`] in order, from [`StateDict::iter`].
#[derive(Debug, Clone)]
pub struct StateDictIter<'a>(indexmap::map::Iter<'a, String, Tensor>);

impl<'a> Iterator for StateDictIter<'a> {
    type Item = (&'a str, &'a Tensor);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(name, tensor)| (name.as_str(), tensor))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for StateDictIter<'_> {}

/// The names and tensors of a [`StateDict`] in order, by value.
#[derive(Debug)]
pub struct StateDictIntoIter(indexmap::map::IntoIter<String, Tensor>);

impl Iterator for StateDictIntoIter {
    type Item = (String, Tensor);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for StateDictIntoIter {}
