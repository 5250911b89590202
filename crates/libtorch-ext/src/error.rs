//! What can go wrong at the C border.

use std::ffi::{CStr, c_char};

use tch::{Device, Kind, TchError};

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
    /// A tensor of the right shape holds other numbers, or holds them in another order.
    #[error("{name} is of {found:?} or not contiguous, expected contiguous 32-bit floats")]
    Layout {
        /// What the tensor is.
        name: &'static str,
        /// What it holds.
        found: Kind,
    },
    /// A number is too large for the kernels, or negative.
    #[error("{name} is {value}, which is out of range")]
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
    /// A tensor lies elsewhere than it has to.
    #[error("the tensor is on {found:?}, expected {expected}")]
    Device {
        /// Where it has to lie.
        expected: &'static str,
        /// Where it lies.
        found: Device,
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

impl Error {
    /// Whether it is memory that was short: a smaller batch may do.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Self::OutOfMemory => true,
            Self::Native(message) => tells_of_memory(message),
            Self::Torch(error) => is_out_of_memory(error),
            _ => false,
        }
    }
}

/// Whether libtorch refused because memory was short, on the CPU or on a device.
pub fn is_out_of_memory(error: &TchError) -> bool {
    tells_of_memory(&error.to_string())
}

/// libtorch has no error codes; these are the words of its two allocators.
fn tells_of_memory(message: &str) -> bool {
    ["can't allocate memory", "out of memory"]
        .iter()
        .any(|words| message.contains(words))
}

impl From<Error> for TchError {
    /// For crates whose functions are otherwise libtorch's own.
    fn from(error: Error) -> Self {
        match error {
            Error::Torch(error) => error,
            other => Self::Torch(other.to_string()),
        }
    }
}

unsafe extern "C" {
    fn effnet_free_message(message: *mut c_char);
}

/// Turns what the C functions return into a result: null for success, or a message to be freed,
/// which is that of `std::bad_alloc` when memory is short.
pub(crate) fn check(message: *mut c_char) -> Result<(), Error> {
    // SAFETY: a message of this library that is not null is a C string, which is the caller's.
    unsafe { check_message(message, effnet_free_message) }
}

/// Turns what a C function of a shim returns into a result: null for success, or a message that `free` takes back,
/// which is that of `std::bad_alloc` when memory is short.
///
/// # Errors
/// [`Error::OutOfMemory`], or [`Error::Native`] with the message.
///
/// # Safety
/// `message` must be null or a C string, and `free` what takes it back; it is called once.
pub unsafe fn check_message(
    message: *mut c_char,
    free: unsafe extern "C" fn(message: *mut c_char),
) -> Result<(), Error> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: by this function's contract.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    // SAFETY: by this function's contract; `text` is a copy.
    unsafe { free(message) };
    Err(match text.as_str() {
        "std::bad_alloc" => Error::OutOfMemory,
        _ => Error::Native(text),
    })
}
