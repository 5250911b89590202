//! Errors from explaining a classification.

use crate::{BackendError, NotFinite};

/// An error of an [`Explainer`](crate::Explainer).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// The method needs the gradient of an earlier layer.
    #[error(
        "--method {method} at --layer {layer} needs gradients, which only effnet-torch computes; expected --layer head, \
         where they are the classifier's weights, or --method scorecam or occlusion, which need none"
    )]
    Gradient {
        /// The method.
        method: &'static str,
        /// The layer.
        layer: String,
    },
    /// Occlusion does not look at layers.
    #[error("--method occlusion does not use activations; omit --layer, or pass --method scorecam")]
    Layer,
    /// The network does not have this block.
    #[error("--layer {index}: no such block; expected 0 to {last}, stem or head")]
    Block {
        /// The requested block.
        index: usize,
        /// The last block.
        last: usize,
    },
    /// The network does not have this class.
    #[error("class {class}: no such class; expected 0 to {last}")]
    Class {
        /// The requested class.
        class: usize,
        /// The last class.
        last: usize,
    },
    /// The caller stopped the computation.
    #[error("stopped")]
    Stopped,
    /// The network returned NaN or infinity.
    #[error(transparent)]
    NotFinite(#[from] NotFinite),
    /// The network cannot be run.
    #[error(transparent)]
    Backend(#[from] BackendError),
}
