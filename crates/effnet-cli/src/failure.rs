//! Explains why an input has no result: a reason for people and a kind for programs.

use effnet::{DecodeFailure, NotFinite, check_finite};
use effnet_data::chain;
use effnet_image::{ImageError, unsupported_kind};
use serde::Serialize;

/// The kinds of failures, as listed in `docs/output.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FailureKind {
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

/// The reason why an input has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    /// An explanation that does not repeat the name of the input.
    pub(crate) reason: String,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { kind, reason }
    }

    /// Returns the failure for a file or folder that the operating system cannot open.
    pub(crate) fn of_io(error: &std::io::Error) -> Self {
        Self::new(kind_of_io(error), error.to_string())
    }

    /// Returns the failure for the input `name`, which could not be read, decoded or transformed.
    pub(crate) fn of_decoding(name: &str, failure: &DecodeFailure) -> Self {
        let kind = match failure {
            DecodeFailure::Failed(error) => match error.downcast_ref::<Failure>() {
                Some(failure) => return failure.clone(),
                None => error
                    .downcast_ref()
                    .map_or(FailureKind::Unreadable, |error| kind_of_image(error, name)),
            },
            _ => FailureKind::Internal,
        };
        let reason = chain(failure);
        let reason = reason.strip_prefix(&format!("{name}: ")).unwrap_or(&reason);
        Self::new(kind, reason)
    }
}

/// Returns the features of the input `name`, unless it could not be decoded or they are not finite.
pub(crate) fn finite_features(
    name: &str,
    features: Result<Vec<f32>, DecodeFailure>,
) -> Result<Vec<f32>, Failure> {
    let features = features.map_err(|error| Failure::of_decoding(name, &error))?;
    check_finite(&features, "feature")?;
    Ok(features)
}

impl From<NotFinite> for Failure {
    fn from(error: NotFinite) -> Self {
        Self::new(FailureKind::NotFinite, error.to_string())
    }
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
