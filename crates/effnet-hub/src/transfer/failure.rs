//! What ends a transfer without its file.

use std::error::Error as StdError;

use crate::{Error, TransferError};

/// What ends a session without the file.
#[derive(Debug)]
pub(super) enum Failure {
    /// This URL did not give it; another one may.
    Remote(TransferError),
    /// Nothing will give it before the user acts.
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

/// All of an error's causes, without the URL, which the caller names.
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
