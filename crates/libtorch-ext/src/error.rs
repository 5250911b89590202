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
        /// What the tensor is.
        name: &'static str,
        /// The shape it should have; `-1` stands for any size.
        expected: Vec<i64>,
        /// The shape it has.
        found: Vec<i64>,
    },
    /// A tensor of the right shape has another element type, or is not contiguous.
    #[error("{name} has type {found:?} or is not contiguous, expected contiguous 32-bit floats")]
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
    /// Whether memory ran out, so that a smaller batch may fit.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Self::OutOfMemory => true,
            Self::Native(message) => says_out_of_memory(message),
            Self::Torch(error) => is_out_of_memory(error),
            _ => false,
        }
    }
}

/// Whether libtorch ran out of memory, on the CPU or on a device.
pub fn is_out_of_memory(error: &TchError) -> bool {
    says_out_of_memory(&error.to_string())
}

/// tch passes on no error codes; these are the messages of libtorch's two allocators and of C++'s own, which reaches
/// tch from the functions of this crate in a backward pass.
fn says_out_of_memory(message: &str) -> bool {
    ["can't allocate memory", "out of memory", "std::bad_alloc"]
        .iter()
        .any(|words| message.contains(words))
}

/// The device as PyTorch writes it: `cpu`, `cuda:0`.
pub fn device_name(device: Device) -> String {
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

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::OutOfMemory => Self::OutOfMemory,
            Failure::Message(text) => Self::Native(text),
        }
    }
}

/// Turns what a C++ function of this crate returns into a `Result`.
pub(crate) fn check(result: RawResult) -> Result<(), Error> {
    // SAFETY: the crate's functions are linked to this program.
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
