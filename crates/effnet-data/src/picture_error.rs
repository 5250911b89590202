//! What can go wrong when measurements are written for people.

use std::io;
use std::path::PathBuf;

/// A picture or a table that could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// The file cannot be written.
    #[error("{}: cannot be written: {source}; check the folder, its permissions and the space left", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It could not be drawn.
    #[error("a picture cannot be drawn: {0}")]
    Draw(String),
}
