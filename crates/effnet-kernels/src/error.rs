//! The errors of this crate.

use crate::boundary::{Failure, RawResult};

/// An error of this crate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A layer does not fit the layers around it, or a batch does not fit the network.
    #[error("{name} has the shape {found:?}, expected {expected:?}")]
    Shape {
        /// A description of the layer or the batch.
        name: &'static str,
        /// The expected shape; `-1` stands for any size.
        expected: Vec<i64>,
        /// The actual shape.
        found: Vec<i64>,
    },
    /// The length of a slice does not match its shape.
    #[error("{name}: expected {expected} values, found {found}")]
    Length {
        /// A description of the slice.
        name: &'static str,
        /// The expected number of values.
        expected: usize,
        /// The actual number of values.
        found: usize,
    },
    /// A number is too large for the kernels.
    #[error("{name} is out of range: {value}")]
    OutOfRange {
        /// A description of the number.
        name: &'static str,
        /// The number.
        value: usize,
    },
    /// Memory ran out.
    #[error("out of memory for the activations of this batch")]
    OutOfMemory,
    /// Any other failure of the C++ side, with its message.
    #[error("{0}")]
    Native(String),
}

impl Error {
    /// Returns whether memory ran out, in which case a smaller batch may fit.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::OutOfMemory)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::OutOfMemory => Self::OutOfMemory,
            Failure::Message(text) => Self::Native(text),
        }
    }
}

/// Converts the return value of one of this crate's C++ functions into a Rust result.
pub(crate) fn check(result: RawResult) -> Result<(), Error> {
    // SAFETY: the crate's functions are linked into this program.
    unsafe { result.check() }.map_err(Error::from)
}
