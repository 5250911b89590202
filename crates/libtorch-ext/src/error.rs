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

/// Turns what the C functions return into a result: null for success, or a message to be freed.
pub(crate) fn check(message: *mut c_char) -> Result<(), Error> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: a message that is not null is a C string that `strdup` made for the caller.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    // SAFETY: the same pointer, freed once by the allocator it came from.
    unsafe { effnet_free_message(message) };
    Err(Error::Native(text))
}
