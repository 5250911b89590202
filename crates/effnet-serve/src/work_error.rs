//! Why work on an image ended without an answer.

use effnet::{BackendError, ExplainError, Failure, FailureKind};

/// The reason why an image has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WorkError {
    /// The image, or what the network returned for it, is at fault; the record of the image says why.
    #[error(transparent)]
    Image(#[from] Failure),
    /// The request names a class that does not exist.
    #[error("{0}")]
    Class(String),
    /// Memory ran out even for this image alone.
    #[error("out of memory: {0}")]
    OutOfMemory(String),
    /// The request timed out.
    #[error("the request took longer than the server allows")]
    Expired,
    /// The network failed, which is a bug.
    #[error("the network failed: {0}")]
    Network(String),
}

impl From<BackendError> for WorkError {
    fn from(error: BackendError) -> Self {
        if error.is_out_of_memory() {
            Self::OutOfMemory(error.to_string())
        } else {
            Self::Network(error.to_string())
        }
    }
}

impl From<ExplainError> for WorkError {
    fn from(error: ExplainError) -> Self {
        match error {
            ExplainError::NotFinite(error) => Self::Image(error.into()),
            ExplainError::Backend(error) => error.into(),
            error @ ExplainError::Class { .. } => Self::Class(error.to_string()),
            error => Self::Network(error.to_string()),
        }
    }
}

impl WorkError {
    /// The failure for an image whose decoder panicked.
    pub(crate) fn of_panic() -> Self {
        Self::Image(Failure::new(
            FailureKind::Internal,
            "the decoder panicked; this is a bug, please report it with the file",
        ))
    }
}
