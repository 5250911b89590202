//! Errors from a network on a device.

use effnet::BackendError;
use tch::TchError;

/// An error from a network on a device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The batch has the wrong shape.
    #[error("the batch has the shape {found:?}, expected [N, {channels}, H, W] with H and W at least 1")]
    BatchShape {
        /// Channels that the network expects.
        channels: usize,
        /// The shape of the batch.
        found: Vec<i64>,
    },
    /// The CPU engine failed.
    #[error(transparent)]
    Engine(#[from] BackendError),
    /// CUDA failed.
    #[error(transparent)]
    Native(#[from] libtorch_ext::Error),
    /// libtorch failed.
    #[error(transparent)]
    Torch(#[from] TchError),
}

impl Error {
    /// Returns whether memory ran out, in which case a smaller batch may fit.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Self::Engine(error) => error.is_out_of_memory(),
            Self::Native(error) => error.is_out_of_memory(),
            Self::Torch(error) => libtorch_ext::is_out_of_memory(error),
            Self::BatchShape { .. } => false,
        }
    }
}

impl From<Error> for BackendError {
    fn from(error: Error) -> Self {
        let is_out_of_memory = error.is_out_of_memory();
        match error {
            Error::Engine(error) => error,
            other if is_out_of_memory => Self::OutOfMemory(other.to_string()),
            other => Self::Device(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    #[test]
    fn what_libtorch_says_without_memory_is_recognised() {
        let options = (Kind::Float, Device::Cpu);
        let error = Tensor::f_empty([1 << 50], options).unwrap_err();
        assert!(BackendError::from(Error::from(error)).is_out_of_memory());
        let other = Tensor::f_empty([-1], options).unwrap_err();
        assert!(!BackendError::from(Error::from(other)).is_out_of_memory());
    }
}
