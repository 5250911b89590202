//! Errors from writing, opening and searching an index.

use std::io;
use std::path::PathBuf;

/// The reason why an index cannot be written, opened or searched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// A file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("{}: cannot be written; check the folder, its permissions and the free disk space", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The rows are there, but not the file that describes them.
    #[error(
        "{}: not found; it names the network and the images of {}, and `effnet features --output FILE.npy` writes both",
        sidecar.display(),
        path.display()
    )]
    NoSidecar {
        /// The file with the rows.
        path: PathBuf,
        /// The missing file.
        sidecar: PathBuf,
    },
    /// The file has another format or another type of numbers.
    #[error("{}: {found}; expected an NPY file of little-endian float32 with two dimensions (`<f4`)", path.display())]
    NotAnIndex {
        /// The file.
        path: PathBuf,
        /// What the file is instead.
        found: String,
    },
    /// The file is truncated, or was changed after it was written.
    #[error("{}: this index is damaged: {found}; write it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        found: String,
    },
    /// A vector has another number of features than the rows.
    #[error("{}: expected vectors of {expected} features, found {found}", path.display())]
    Width {
        /// The file.
        path: PathBuf,
        /// The number of features of the rows.
        expected: usize,
        /// The number of features of the vector.
        found: usize,
    },
    /// The name of an image is too long for a line.
    #[error("{}: the name of an image has {found} bytes, expected at most {most}", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// The length of the name.
        found: usize,
        /// The longest length.
        most: usize,
    },
    /// The images were described by another network.
    #[error(
        "{}: this index is from another network: {differences}; pass the flags that the index was made with, or make a \
         new index",
        path.display()
    )]
    OtherNetwork {
        /// The file.
        path: PathBuf,
        /// Each entry that differs, with the value of the index and the expected one.
        differences: String,
    },
    /// A thread cannot be started.
    #[error("cannot start a thread for the search")]
    Thread(#[source] io::Error),
}
