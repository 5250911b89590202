//! Explains why an image has no result: a reason for people and a kind for programs.

use effnet_data::{BoxError, DecodeFailure, chain};
use effnet_image::{ImageError, unsupported_kind};
use serde::Serialize;

use crate::{NotFinite, check_finite};

/// The kinds of [`Failure`]s, as listed in `docs/src/output.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// There is no such file.
    Missing,
    /// The file or folder exists but cannot be read.
    Unreadable,
    /// The folder, pattern or archive has no images.
    NoImages,
    /// The file has no content.
    Empty,
    /// The content does not match any known image format.
    NotAnImage,
    /// The image has a format or a feature that is not supported.
    Unsupported,
    /// The image is truncated or violates its format.
    Damaged,
    /// The file, its pixels or the memory for decoding it exceeds a limit.
    TooLarge,
    /// The file at a web address cannot be downloaded.
    Download,
    /// The network's output contains NaN or infinity.
    NotFinite,
    /// The failure is a bug.
    Internal,
}

/// The reason why an image has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
#[non_exhaustive]
pub struct Failure {
    /// The kind, for programs.
    pub kind: FailureKind,
    /// An explanation that does not repeat the name of the image.
    pub reason: String,
}

impl Failure {
    /// Creates a failure of this kind.
    pub fn new(kind: FailureKind, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { kind, reason }
    }

    /// Returns the failure for a file or folder that the operating system cannot open.
    pub fn from_io(error: &std::io::Error) -> Self {
        Self::new(kind_of_io(error), error.to_string())
    }

    /// Returns the failure for the image `name`, which could not be read, decoded or transformed. A `Failure` among the
    /// causes is returned unchanged.
    pub fn from_decoding(name: &str, failure: &DecodeFailure) -> Self {
        match failure {
            DecodeFailure::Failed(error) => Self::from_error(name, error),
            _ => Self::with_causes(FailureKind::Internal, name, failure),
        }
    }

    /// Returns the failure for the image `name`, which could not be read, decoded or transformed because of `error`.
    pub fn from_error(name: &str, error: &BoxError) -> Self {
        if let Some(failure) = error.downcast_ref::<Self>() {
            return failure.clone();
        }
        let kind = error
            .downcast_ref()
            .map_or(FailureKind::Unreadable, |error| kind_of_image(error, name));
        Self::with_causes(kind, name, &**error)
    }

    fn with_causes(kind: FailureKind, name: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        let reason = chain(error);
        let reason = reason.strip_prefix(&format!("{name}: ")).unwrap_or(&reason);
        Self::new(kind, reason)
    }
}

impl From<NotFinite> for Failure {
    fn from(error: NotFinite) -> Self {
        Self::new(FailureKind::NotFinite, error.to_string())
    }
}

/// Returns the features of the image `name`, unless it could not be decoded or they are not finite.
///
/// Public for the other crates of this workspace.
///
/// # Errors
/// The reason why there are no features.
pub fn finite_features(name: &str, features: Result<Vec<f32>, DecodeFailure>) -> Result<Vec<f32>, Failure> {
    let features = features.map_err(|error| Failure::from_decoding(name, &error))?;
    check_finite(&features, "feature")?;
    Ok(features)
}

fn kind_of_image(error: &ImageError, name: &str) -> FailureKind {
    match error {
        ImageError::Read { source, .. } => kind_of_io(source),
        ImageError::Empty { .. } => FailureKind::Empty,
        ImageError::UnknownFormat { .. } if unsupported_kind(name.as_ref()).is_some() => {
            FailureKind::Unsupported
        }
        ImageError::UnknownFormat { .. } => FailureKind::NotAnImage,
        ImageError::Unsupported { .. } => FailureKind::Unsupported,
        ImageError::Truncated { .. } | ImageError::Malformed { .. } => FailureKind::Damaged,
        ImageError::FileTooLarge { .. }
        | ImageError::TooManyPixels { .. }
        | ImageError::TooMuchMemory { .. } => FailureKind::TooLarge,
        _ => FailureKind::Unreadable,
    }
}

fn kind_of_io(error: &std::io::Error) -> FailureKind {
    match error.kind() {
        std::io::ErrorKind::NotFound => FailureKind::Missing,
        _ => FailureKind::Unreadable,
    }
}
