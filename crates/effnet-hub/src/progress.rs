//! Progress and warnings of a download.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::Digest;

/// Receives the progress of [`Hub::resolve`](crate::Hub::resolve). `()` ignores it.
///
/// ```text
/// warned*                                    files found but not used, waiting for a lock
/// started   advanced*   warned*              one connection; repeated after every interruption or restart
/// started   advanced*   finished             the file is complete, verified and under its final name
/// ```
/// `finished` is not called if the download fails or was not needed.
pub trait Progress {
    /// A transfer starts. May be called several times per file: [`Transfer::from`] is the new position.
    fn started(&mut self, _transfer: &Transfer<'_>) {}
    /// This many more bytes were received.
    fn advanced(&mut self, _bytes: u64) {}
    /// The file is complete, verified and under its final name.
    fn finished(&mut self) {}
    /// A non-fatal problem occurred.
    fn warned(&mut self, _warning: &Warning) {}
}

impl Progress for () {}

/// The start of a transfer.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Transfer<'a> {
    /// The file's name in the cache.
    pub file: &'a str,
    /// Its URL, before redirects.
    pub url: &'a str,
    /// Bytes already downloaded.
    pub from: u64,
    /// Size of the whole file in bytes, if the server sent it.
    pub total: Option<u64>,
}

/// A non-fatal problem. `Display` writes one sentence for the user.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Warning {
    /// A file has a published name but different content. It is ignored.
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The expected digest.
        expected: Digest,
        /// The digest of the file.
        found: String,
    },
    /// A file cannot be read. It is ignored.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        reason: String,
    },
    /// The digest of a file is neither published nor sent by its server.
    Unverified {
        /// The file, which is used anyway.
        path: PathBuf,
    },
    /// An attempt failed and will be retried.
    Retrying {
        /// A short description of the failure.
        reason: String,
        /// The delay before the next attempt.
        delay: Duration,
    },
    /// Another process is downloading the same file.
    Waiting {
        /// The file's name in the cache.
        file: String,
    },
    /// The file system does not support locks: several processes may download the same file.
    NoLock {
        /// The error of the operating system.
        reason: String,
    },
    /// A partial download does not belong to this file. The download restarts.
    Restarted {
        /// The file's name in the cache.
        file: String,
        /// The reason why the partial download could not be resumed.
        reason: &'static str,
    },
    /// The commit of a repository's branch could not be looked up. The local copy is used.
    NotLookedUp {
        /// The repository and its branch.
        repository: String,
        /// A short description of the failure.
        reason: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt {
                path,
                expected,
                found,
            } => write!(
                f,
                "ignoring `{}`: its SHA-256 is {found}, expected {expected}; it is damaged or a different file",
                path.display()
            ),
            Self::Unreadable { path, reason } => {
                write!(f, "ignoring `{}`: it cannot be read: {reason}", path.display())
            }
            Self::Unverified { path } => {
                write!(
                    f,
                    "`{}` is not verified: no SHA-256 is known for it",
                    path.display()
                )
            }
            Self::Retrying { reason, delay } => {
                write!(f, "{reason}; retrying in {:.1} s", delay.as_secs_f64())
            }
            Self::Waiting { file } => write!(f, "waiting for another process to download `{file}`"),
            Self::NoLock { reason } => write!(f, "cannot lock the cache folder: {reason}"),
            Self::NotLookedUp { repository, reason } => write!(
                f,
                "using the downloaded copy of {repository}, which may not be the newest: {reason}"
            ),
            Self::Restarted { file, reason } => write!(f, "restarting the download of `{file}`: {reason}"),
        }
    }
}
