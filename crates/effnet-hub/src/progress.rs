//! What a caller can watch while a file is looked for and fetched.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::Digest;

/// Told what happens during [`Hub::resolve`](crate::Hub::resolve). `()` watches nothing and costs nothing.
///
/// ```text
/// warned*                                    files that were found and not used, waiting for a lock
/// started   advanced*   warned*              one connection; again after every interruption or restart
/// started   advanced*   finished             the file is complete, verified and under its final name
/// ```
/// `finished` is not called when the download fails, nor when no download was needed.
pub trait Progress {
    /// A body begins to arrive. May come several times for one file: [`Transfer::from`] is then the new position.
    fn started(&mut self, _transfer: &Transfer<'_>) {}
    /// This many further bytes are on their way to the disk.
    fn advanced(&mut self, _bytes: u64) {}
    /// The file is complete, verified and in place.
    fn finished(&mut self) {}
    /// Something went wrong that did not end the work.
    fn warned(&mut self, _warning: &Warning) {}
}

impl Progress for () {}

/// The beginning of a transfer.
#[derive(Debug, Clone, Copy)]
pub struct Transfer<'a> {
    /// The file's name in the cache.
    pub file: &'a str,
    /// Where it comes from, before redirects.
    pub url: &'a str,
    /// Bytes that were there already.
    pub from: u64,
    /// Bytes of the whole file, when the server says so.
    pub total: Option<u64>,
}

/// What the caller may want to tell its user, although the work goes on. `Display` is one sentence.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Warning {
    /// A file stands under a published name and has another content. It is not used.
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The digest that belongs to the name.
        expected: Digest,
        /// The digest of what is there.
        found: String,
    },
    /// A file that was found cannot be read. It is not used.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// No digest is published for a file and none was announced by its server.
    Unverified {
        /// The file, which is used.
        path: PathBuf,
    },
    /// An attempt failed and another one follows.
    Retrying {
        /// What went wrong, with the URL.
        reason: String,
        /// The pause before the next attempt.
        delay: Duration,
    },
    /// Another process is fetching the same file.
    Waiting {
        /// The file's name in the cache.
        file: String,
    },
    /// The file system has no locks: two processes may fetch the same file.
    NoLock {
        /// What the system said.
        reason: String,
    },
    /// What was kept of an earlier download does not belong to this file. It is fetched anew.
    Restarted {
        /// The file's name in the cache.
        file: String,
        /// Why the kept part could not be continued.
        reason: &'static str,
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
                "`{}` is not used: its SHA-256 is {found}, expected {expected}; it is damaged or another file",
                path.display()
            ),
            Self::Unreadable { path, reason } => {
                write!(f, "`{}` is not used: it cannot be read: {reason}", path.display())
            }
            Self::Unverified { path } => {
                write!(
                    f,
                    "`{}` is not verified: no SHA-256 is known for it",
                    path.display()
                )
            }
            Self::Retrying { reason, delay } => {
                write!(f, "{reason}; trying again in {:.1} s", delay.as_secs_f64())
            }
            Self::Waiting { file } => write!(f, "waiting for another process that fetches `{file}`"),
            Self::NoLock { reason } => write!(f, "the cache folder cannot be locked: {reason}"),
            Self::Restarted { file, reason } => write!(f, "`{file}` is fetched from its beginning: {reason}"),
        }
    }
}
