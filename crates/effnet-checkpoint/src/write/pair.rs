//! Commits two files that belong together, such as a model and its weights.
//!
//! They cannot be renamed in one step. If the second cannot be renamed, the first must not remain: it would be beside an
//! old file that it does not fit.

use std::io;

use super::AtomicFile;

/// The file of a pair that could not be committed.
///
/// Public for the other crates of this workspace.
#[derive(Debug)]
pub enum PairError {
    /// The first file.
    First(io::Error),
    /// The second file.
    Second(io::Error),
}

/// [Commits](AtomicFile::commit) two files, or neither. If the process ends between the two renames, the first file is new
/// and the second is old.
///
/// Public for the other crates of this workspace.
///
/// # Errors
/// [`PairError`]; both targets are then unchanged.
pub fn commit_pair(mut first: AtomicFile, mut second: AtomicFile) -> Result<(), PairError> {
    // Both are on the disk before either is renamed, because that can fail on a full disk.
    first.sync().map_err(PairError::First)?;
    second.sync().map_err(PairError::Second)?;
    let replaced = first.replace().map_err(PairError::First)?;
    second.commit().map_err(PairError::Second)?;
    replaced.keep();
    Ok(())
}
