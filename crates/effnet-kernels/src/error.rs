//! What can go wrong at the C boundary.

use std::ffi::{CStr, c_char};

/// An error of this crate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A layer or a batch has a shape that contradicts the others.
    #[error("{name} has the shape {found:?}, expected {expected:?}")]
    Shape {
        /// What it is the shape of.
        name: &'static str,
        /// The shape it should have; `-1` where any size will do.
        expected: Vec<i64>,
        /// The shape it has.
        found: Vec<i64>,
    },
    /// The values are not as many as the shape says.
    #[error("{name}: {found} values, expected {expected}")]
    Length {
        /// What the values are of.
        name: &'static str,
        /// How many there should be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A number is too large for the kernels.
    #[error("{name} is {value}, which is out of range")]
    OutOfRange {
        /// What the number is.
        name: &'static str,
        /// The number.
        value: usize,
    },
    /// Memory is short.
    #[error("out of memory for the activations of this batch")]
    OutOfMemory,
    /// The C++ side refused.
    #[error("{0}")]
    Native(String),
}

impl Error {
    /// Whether it is memory that was short: a smaller batch may do.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::OutOfMemory)
    }
}

unsafe extern "C" {
    fn effnet_free_message(message: *mut c_char);
}

/// Turns what the C functions return into a result: null for success, or a message to be freed,
/// which is that of `std::bad_alloc` when memory is short.
pub(crate) fn check(message: *mut c_char) -> Result<(), Error> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: a message of this library that is not null is a C string.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    // SAFETY: the message is the caller's, and is not looked at again: `text` is a copy.
    unsafe { effnet_free_message(message) };
    Err(match text.as_str() {
        "std::bad_alloc" => Error::OutOfMemory,
        _ => Error::Native(text),
    })
}
