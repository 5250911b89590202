//! What can go wrong with the files of a run.

use std::io;
use std::path::{Path, PathBuf};

/// An error of a run's folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The operating system refused.
    #[error("{}: cannot be {doing}: {source}; check the folder, its permissions and the space left", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Created, written, ...
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A new run would overwrite an old one.
    #[error(
        "{}: holds a run already; go on with it by --resume, or choose another folder",
        path.display()
    )]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds no run.
    #[error("{}: no run in this folder, expected config.json", path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
    /// Another process works in the folder.
    #[error("{}: another process trains in this folder; wait for it, or end it", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// A file does not hold what it should.
    #[error("{}: not what a run of this version writes: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// The log ends before the checkpoint.
    #[error(
        "{}: {found} bytes, expected at least {expected}: the checkpoint is newer than the log; restore \
         the log, or begin a new run",
        path.display()
    )]
    LogTooShort {
        /// The log.
        path: PathBuf,
        /// Its length when the checkpoint was made.
        expected: u64,
        /// Its length.
        found: u64,
    },
    /// The position in the log is not the end of a line.
    #[error(
        "{}: byte {position} is inside of a line, expected the end of one: this is not the log that the \
         checkpoint was made with",
        path.display()
    )]
    LogMismatch {
        /// The log.
        path: PathBuf,
        /// The position that the checkpoint has.
        position: u64,
    },
    /// A picture or a file could not be written.
    #[error(transparent)]
    Picture(#[from] effnet_data::PictureError),
}

impl RunError {
    /// For `map_err`: names the file and what was tried.
    pub(super) fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, doing, source }
    }
}
