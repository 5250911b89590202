//! Failures of downloads.

use std::error::Error as StdError;
use std::io;

use crate::{Error, HubConfig, TransferError};

/// The failure of a download from one URL.
#[derive(Debug)]
pub(super) enum Failure {
    /// A problem with this URL; try the next one.
    Remote(TransferError),
    /// A local problem, which would make every URL fail.
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

/// Returns the error for a body of `expected` bytes that could not be read to its end.
pub(super) fn interrupted(
    url: &str,
    received: u64,
    expected: Option<u64>,
    error: &io::Error,
    config: &HubConfig,
) -> TransferError {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<reqwest::Error>());
    let url = url.to_owned();
    if inner.is_some_and(reqwest::Error::is_timeout) {
        return TransferError::Stalled {
            url,
            seconds: config.stall_timeout,
        };
    }
    let reason = inner.map_or_else(|| error.to_string(), reason);
    TransferError::Cut {
        url,
        received,
        expected,
        reason,
    }
}

/// Returns the causes of an error, without the URL, which the caller adds.
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
