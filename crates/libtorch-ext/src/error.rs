//! What can go wrong at the C border.

use std::ffi::{CStr, c_char};

use tch::TchError;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter has a shape that contradicts the others.
    #[error("{name} has the shape {found:?}, expected {expected:?}")]
    Shape {
        /// What the tensor is.
        name: &'static str,
        /// The shape it should have; `-1` where any size will do.
        expected: Vec<i64>,
        /// The shape it has.
        found: Vec<i64>,
    },
    /// A number is too large for the kernels, or negative.
    #[error("{name} is {value}, which the fused network cannot represent")]
    OutOfRange {
        /// What the number is.
        name: &'static str,
        /// The number.
        value: i64,
    },
    /// The values are not as many as the shape says.
    #[error("{found} values do not make a tensor of the shape {shape:?}")]
    Length {
        /// The shape asked for.
        shape: Vec<i64>,
        /// The number of values.
        found: usize,
    },
    /// Memory is short.
    #[error("out of memory for the activations of this batch")]
    OutOfMemory,
    /// The C++ side refused.
    #[error("{0}")]
    Native(String),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] TchError),
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
    // SAFETY: a message that is not null is a C string that is the caller's until it is freed.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    // SAFETY: the same pointer, given back once to where it came from.
    unsafe { effnet_free_message(message) };
    Err(match text.as_str() {
        "std::bad_alloc" => Error::OutOfMemory,
        _ => Error::Native(text),
    })
}
