//! The errors of the kernels.

use crate::boundary::{Failure, RawResult};

/// An error of this crate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A layer or a batch does not fit the others.
    #[error("{name} has the shape {found:?}, expected {expected:?}")]
    Shape {
        /// The layer or the batch.
        name: &'static str,
        /// The shape it should have; `-1` stands for any size.
        expected: Vec<i64>,
        /// Actual shape.
        found: Vec<i64>,
    },
    /// A slice is not as long as its shape says.
    #[error("{name}: {found} values, expected {expected}")]
    Length {
        /// The slice.
        name: &'static str,
        /// The number of values it should have.
        expected: usize,
        /// The number of values it has.
        found: usize,
    },
    /// A number is too large for the kernels.
    #[error("{name} is {value}, which is out of range")]
    OutOfRange {
        /// Name of the number.
        name: &'static str,
        /// The number.
        value: usize,
    },
    /// Memory ran out.
    #[error("out of memory for the activations of this batch")]
    OutOfMemory,
    /// What the C++ side says.
    #[error("{0}")]
    Native(String),
}

impl Error {
    /// Whether memory ran out: a smaller batch may fit.
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

/// Turns what a C++ function of this crate returns into Rust's result.
pub(crate) fn check(result: RawResult) -> Result<(), Error> {
    // SAFETY: the crate's functions are linked to this program.
    unsafe { result.check() }.map_err(Error::from)
}
