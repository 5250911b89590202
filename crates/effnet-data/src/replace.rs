//! Files that appear under their names only when they are whole.

use std::io;
use std::path::Path;

use effnet_checkpoint::{FreshFile, UNFINISHED};

use crate::PictureError;

/// Writes a file beside `path`, makes sure that it is on the disk and renames it into place: whoever
/// looks, and whenever the machine stops, finds the old file or the new one.
///
/// # Errors
/// [`PictureError::Write`], also for what `write` returns; the old file is as it was then.
pub fn replace_file(
    path: &Path,
    write: impl FnOnce(&mut FreshFile) -> io::Result<()>,
) -> Result<(), PictureError> {
    let replaced = FreshFile::create(path).and_then(|mut file| {
        write(&mut file)?;
        file.commit()
    });
    replaced.map_err(|source| PictureError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Removes what writes that were cut short left in `folder`.
///
/// # Errors
/// What the operating system says.
pub fn remove_temporaries(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_temporary = name
            .to_str()
            .is_some_and(|name| name.starts_with('.') && name.ends_with(UNFINISHED));
        if is_temporary && entry.file_type()?.is_file() {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
