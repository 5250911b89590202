//! What can go wrong in the engine.

use tch::TchError;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The batch does not have the shape that the network takes.
    #[error("the batch has the shape {found:?}, expected [N, {channels}, H, W] with H and W at least 1")]
    BatchShape {
        /// Channels of the images that the network was built for.
        channels: i64,
        /// The shape of the batch.
        found: Vec<i64>,
    },
    /// The device has no kernels for the precision.
    #[error("{precision} is not available on {device}")]
    Precision {
        /// The precision asked for.
        precision: &'static str,
        /// Where the network lies.
        device: String,
    },
    /// The network lacks a tensor that its configuration calls for.
    #[error("the network has no tensor {0}")]
    MissingTensor(String),
    /// A [`Runner`](crate::Runner) gave back another number of rows than it was given images.
    #[error("{images} images gave a result of the shape {found:?}, expected [{images}, ...]")]
    Rows {
        /// Images in the batch.
        images: usize,
        /// The shape of the result.
        found: Vec<i64>,
    },
    /// The system gave no thread.
    #[error("cannot start a thread")]
    Thread(#[from] std::io::Error),
    /// The fused kernels refused, or CUDA did.
    #[error(transparent)]
    Fused(#[from] libtorch_ext::Error),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] TchError),
}

impl Error {
    /// Whether it is memory that was short: a smaller batch may do.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Self::Fused(error) => error.is_out_of_memory(),
            Self::Torch(error) => libtorch_ext::is_out_of_memory(error),
            _ => false,
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
        assert!(Error::from(error).is_out_of_memory());
        let other = Tensor::f_empty([-1], options).unwrap_err();
        assert!(!Error::from(other).is_out_of_memory());
    }
}
