//! Errors of run folders.

use std::io;
use std::path::{Path, PathBuf};

/// An error of a run folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// An error of the operating system.
    #[error("{}: cannot be {doing}: {source}; check the folder, its permissions and the free disk space", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Created, written, ...
        doing: &'static str,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A new run would overwrite an old one.
    #[error(
        "{}: already contains a run; resume it with --resume, or choose another folder with --output",
        path.display()
    )]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds no run.
    #[error("{}: not a run folder, expected a config.json in it", path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
    /// Another process uses the folder.
    #[error("{}: another process is training in this folder; wait for it to finish, or stop it", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// A file has invalid contents.
    #[error("{}: damaged, or written by another version: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The error, with its position.
        source: serde_json::Error,
    },
    /// The log ends before the checkpoint.
    #[error(
        "{}: {found} bytes, expected at least {expected}: the checkpoint is newer than the log; restore \
         the log, or start a new run",
        path.display()
    )]
    LogTooShort {
        /// The log.
        path: PathBuf,
        /// Its length in bytes when the checkpoint was saved.
        expected: u64,
        /// Its length in bytes.
        found: u64,
    },
    /// The checkpoint's position in the log is not the end of a line.
    #[error(
        "{}: byte {position} is inside a line, expected the end of one: this is not the log of the \
         checkpoint; restore the log, or start a new run",
        path.display()
    )]
    LogMismatch {
        /// The log.
        path: PathBuf,
        /// The position saved in the checkpoint.
        position: u64,
    },
    /// A figure or a file could not be written.
    #[error(transparent)]
    Plot(#[from] effnet_data::PlotError),
}

impl RunError {
    /// For `map_err`: adds the file and the operation.
    pub(crate) fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, doing, source }
    }
}
