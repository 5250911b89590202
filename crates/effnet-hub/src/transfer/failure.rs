//! Why a download failed.

use std::error::Error as StdError;

use crate::{Error, TransferError};

/// Why the download from one URL failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// A problem of this URL; try the next one.
    Remote(TransferError),
    /// A local problem, which fails every URL.
    Local(Error),
}

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Self {
        Self::Remote(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Local(error)
    }
}

/// The causes of an error, without the URL, which the caller adds.
pub(super) fn reason(error: &reqwest::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        cause = inner.source();
    }
    if parts.is_empty() {
        error.to_string()
    } else {
        parts.join(": ")
    }
}
