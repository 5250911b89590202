//! Errors of this crate, and how they cross the C boundary.

use std::ffi::{CStr, c_char};

use tch::{Device, Kind, TchError};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor has a wrong shape.
    #[error("{name} has shape {found:?}, expected {expected:?}")]
    Shape {
        /// What the tensor is.
        name: &'static str,
        /// The shape it should have; `-1` stands for any size.
        expected: Vec<i64>,
        /// The shape it has.
        found: Vec<i64>,
    },
    /// A tensor of the right shape has another element type, or is not contiguous.
    #[error("{name} is a tensor of {found:?} or not contiguous, expected contiguous 32-bit floats")]
    Layout {
        /// What the tensor is.
        name: &'static str,
        /// Its element type.
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
    /// The number of values does not fit the shape.
    #[error("found {found} values for a tensor of shape {shape:?}")]
    Length {
        /// The requested shape.
        shape: Vec<i64>,
        /// The number of values.
        found: usize,
    },
    /// A tensor is on the wrong device.
    #[error("the tensor is on {}, expected {expected}", device_name(*.found))]
    Device {
        /// Where it should be.
        expected: &'static str,
        /// Where it is.
        found: Device,
    },
    /// Out of memory.
    #[error("out of memory for the activations of this batch")]
    OutOfMemory,
    /// The C++ side failed.
    #[error("{0}")]
    Native(String),
    /// libtorch failed.
    #[error(transparent)]
    Torch(#[from] TchError),
}

impl Error {
    /// Whether the cause is a lack of memory, so that a smaller batch may work.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Self::OutOfMemory => true,
            Self::Native(message) => says_out_of_memory(message),
            Self::Torch(error) => is_out_of_memory(error),
            _ => false,
        }
    }
}

/// Whether libtorch failed for lack of memory, on the CPU or on a device.
pub fn is_out_of_memory(error: &TchError) -> bool {
    says_out_of_memory(&error.to_string())
}

/// libtorch has no error codes; these are the messages of its two allocators.
fn says_out_of_memory(message: &str) -> bool {
    ["can't allocate memory", "out of memory"]
        .iter()
        .any(|words| message.contains(words))
}

/// The device as PyTorch writes it: `cpu`, `cuda:0`.
pub(crate) fn device_name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

impl From<Error> for TchError {
    /// For crates whose other calls return libtorch's own errors.
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

/// Turns what the C functions return into a `Result`: null for success, or a message to be freed,
/// which is that of `std::bad_alloc` when out of memory.
pub(crate) fn check(message: *mut c_char) -> Result<(), Error> {
    // SAFETY: a message of this library that is not null is a C string, owned by the caller.
    unsafe { check_message(message, effnet_free_message) }
}

/// Turns what a C function of a shim returns into a `Result`: null for success, or a message to be freed with
/// `free`, which is that of `std::bad_alloc` when out of memory.
///
/// # Errors
/// [`Error::OutOfMemory`], or [`Error::Native`] with the message.
///
/// # Safety
/// `message` must be null or a C string that `free` frees; it is freed once.
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
