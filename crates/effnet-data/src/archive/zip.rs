//! Reads files from zip archives, for data sets and for the images that a command line names.
//!
//! Unlike a compressed tar, a zip archive compresses each file alone, so any thread can read any of them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use ::zip::ZipArchive;
use ::zip::result::ZipError;
use effnet_checkpoint::read_at;

use super::ArchiveError;

/// An open zip archive. Threads can read from it at the same time.
///
/// Public for the other crates of this workspace.
#[derive(Debug)]
pub struct ZipFile(ZipArchive<Positional>);

impl ZipFile {
    /// Reads the directory of an archive.
    ///
    /// # Errors
    /// [`ArchiveError`] if there is none, or it is damaged.
    pub fn open(file: File) -> Result<Self, ArchiveError> {
        let length = file.metadata().map_err(ArchiveError::Read)?.len();
        let reader = Positional {
            file: Arc::new(file),
            position: 0,
            length,
        };
        Ok(Self(ZipArchive::new(reader).map_err(explain)?))
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the name of an entry; that of a folder ends with a slash. Of an invalid name, the readable part is
    /// returned.
    pub fn name(&self, index: usize) -> Option<&str> {
        self.0.name_for_index(index)
    }

    /// Returns the declared size of a file in bytes; `None` for a link.
    ///
    /// # Errors
    /// [`ArchiveError`] if the archive is damaged.
    pub fn size(&mut self, index: usize) -> Result<Option<u64>, ArchiveError> {
        let entry = self.0.by_index_raw(index).map_err(explain)?;
        Ok((!entry.is_symlink()).then(|| entry.size()))
    }

    /// Reads the file with this index, which must have the declared size.
    ///
    /// # Errors
    /// [`ArchiveError`] if the archive is damaged, or uses a feature that is not supported.
    pub fn read(&self, index: usize, size: u64) -> Result<Vec<u8>, ArchiveError> {
        let mut archive = self.0.clone();
        let entry = archive.by_index(index).map_err(explain)?;
        let mut bytes = Vec::new();
        // Reading one byte more than declared reveals a wrong size; the checksum is verified at the end.
        entry
            .take(size.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| ArchiveError::Damaged(error.to_string()))?;
        if bytes.len() as u64 != size {
            return Err(ArchiveError::Damaged(
                "a file size differs from the declared one".to_owned(),
            ));
        }
        Ok(bytes)
    }
}

fn explain(error: ZipError) -> ArchiveError {
    match error {
        ZipError::UnsupportedArchive(feature) => ArchiveError::Unsupported(feature.to_owned()),
        error => ArchiveError::Damaged(error.to_string()),
    }
}

/// Reads a file at its own position, so that clones do not interfere with each other.
#[derive(Debug, Clone)]
struct Positional {
    file: Arc<File>,
    position: u64,
    length: u64,
}

impl Read for Positional {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = read_at(&self.file, bytes, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Positional {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(distance) => self.length.checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
