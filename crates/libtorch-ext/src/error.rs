//! Errors of this crate.

use effnet_kernels::boundary::{Failure, RawResult};
use tch::{Device, Kind, TchError};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor has a wrong shape.
    #[error("{name} has shape {found:?}, expected {expected:?}")]
    Shape {
        /// A description of the tensor.
        name: &'static str,
        /// The expected shape; `-1` stands for any size.
        expected: Vec<i64>,
        /// The actual shape.
        found: Vec<i64>,
    },
    /// A tensor of the right shape has the wrong element type, or is not contiguous.
    #[error("{name} has type {found:?} or is not contiguous, expected contiguous 32-bit floats")]
    Layout {
        /// A description of the tensor.
        name: &'static str,
        /// Its element type.
        found: Kind,
    },
    /// A number is too large for the kernels, or negative.
    #[error("{name} is out of range: {value}")]
    OutOfRange {
        /// A description of the number.
        name: &'static str,
        /// The number.
        value: i64,
    },
    /// The number of values does not match the shape.
    #[error("{found} values do not fit a tensor of shape {shape:?}")]
    Length {
        /// The requested shape.
        shape: Vec<i64>,
        /// The number of values.
        found: usize,
    },
    /// A tensor is on the wrong device.
    #[error("expected a tensor on {expected}, found one on {}", device_name(*.found))]
    Device {
        /// The expected device.
        expected: &'static str,
        /// The actual device.
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
    /// Returns whether memory ran out, in which case a smaller batch may fit.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Self::OutOfMemory => true,
            Self::Native(message) => says_out_of_memory(message),
            Self::Torch(error) => is_out_of_memory(error),
            _ => false,
        }
    }
}

/// Returns whether libtorch ran out of memory, on the CPU or on a device.
pub fn is_out_of_memory(error: &TchError) -> bool {
    says_out_of_memory(&error.to_string())
}

/// Recognises the messages of libtorch's two allocators and that of C++'s own, since tch does not pass on error
/// codes. C++'s own reaches tch from this crate's functions in a backward pass.
fn says_out_of_memory(message: &str) -> bool {
    ["can't allocate memory", "out of memory", "std::bad_alloc"]
        .iter()
        .any(|words| message.contains(words))
}

/// Returns the name of the device as PyTorch writes it: `cpu`, `cuda:0`.
pub fn device_name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

impl From<Error> for TchError {
    /// Converts the error for crates whose other calls return libtorch's own errors.
    fn from(error: Error) -> Self {
        match error {
            Error::Torch(error) => error,
            other => Self::Torch(other.to_string()),
        }
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

/// Converts the return value of one of this crate's C++ functions into a `Result`.
pub(crate) fn check(result: RawResult) -> Result<(), Error> {
    // SAFETY: the crate's functions are linked into this program.
    unsafe { result.check() }.map_err(Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_of_memory_is_recognised_in_every_form() {
        assert!(Error::from(Failure::OutOfMemory).is_out_of_memory());
        for message in [
            "DefaultCPUAllocator: can't allocate memory",
            "CUDA out of memory.",
            "std::bad_alloc",
        ] {
            assert!(Error::from(Failure::Message(message.to_owned())).is_out_of_memory());
            assert!(Error::from(TchError::Torch(message.to_owned())).is_out_of_memory());
        }
        assert!(!Error::from(Failure::Message("a wrong shape".to_owned())).is_out_of_memory());
    }
}
