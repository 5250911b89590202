//! Errors from plots and tables.

use std::io;
use std::path::PathBuf;

/// The reason why a plot or a table could not be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlotError {
    /// The file cannot be written.
    #[error("{}: cannot be written: {source}; check the folder, its permissions and the free disk space", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The plot could not be drawn.
    #[error("cannot draw the plot: {0}")]
    Draw(String),
}
