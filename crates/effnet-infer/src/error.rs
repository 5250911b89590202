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
    /// The fused kernels refused.
    #[error(transparent)]
    Fused(#[from] libtorch_ext::Error),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] TchError),
}
