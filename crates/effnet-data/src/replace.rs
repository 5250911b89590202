//! Atomic replacement of files.

use std::io;
use std::path::Path;

use effnet_checkpoint::{AtomicFile, PARTIAL_SUFFIX};

use crate::PlotError;

/// Replaces a file atomically: writes a temporary file next to `path`, flushes it to disk and renames it.
/// Readers see either the old file or the complete new one, even if the machine crashes. Symbolic links are
/// followed, permissions are kept, and a pipe or device is written to directly (see [`AtomicFile`]).
///
/// Public for the other crates of this workspace.
///
/// # Errors
/// [`PlotError::Write`], also for errors from `write`; the old file is then unchanged.
pub fn replace_file(
    path: &Path,
    write: impl FnOnce(&mut AtomicFile) -> io::Result<()>,
) -> Result<(), PlotError> {
    let replaced = AtomicFile::create(path).and_then(|mut file| {
        write(&mut file)?;
        file.commit()
    });
    replaced.map_err(|source| PlotError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Removes the temporary files that interrupted writes left in `folder`.
///
/// Public for the other crates of this workspace.
///
/// # Errors
/// The error of the operating system.
pub fn remove_temporaries(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_temporary = name
            .to_str()
            .is_some_and(|name| name.starts_with('.') && name.ends_with(PARTIAL_SUFFIX));
        if is_temporary && entry.file_type()?.is_file() {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
