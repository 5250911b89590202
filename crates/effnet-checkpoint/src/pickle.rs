//! A pickle machine that builds a graph and executes nothing.
//!
//! Python's own machine imports modules and calls their functions. This one keeps a name as a name, and a
//! call as a node that records "this would be called with these arguments". [`crate::object`] interprets the
//! calls afterwards, for the few torch functions that describe a tensor.
//!
//! The graph is stored in one vector, and its values are 16 bytes without a destructor. A pickle that nests a
//! million tuples, refers to itself or shares one list a million times therefore costs no more than its
//! opcodes.

mod graph;
mod machine;
mod reader;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use graph::{Graph, Node, Object, Value};
pub(crate) use machine::load;

/// The reason why a pickle could not be read, and the position of the error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PickleError {
    /// Bytes from the start of this pickle.
    pub(crate) offset: usize,
    /// One clause, without a full stop.
    pub(crate) what: String,
    /// Whether the bytes ended before the pickle did.
    pub(crate) truncated: bool,
}
