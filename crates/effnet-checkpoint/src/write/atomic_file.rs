//! Files that appear under their name only when complete.
//!
//! Checkpoints, reports and run folders are all written this way. A process that is killed, or a disk that is
//! full, then leaves the previous file intact instead of half of a new one.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Distinguishes the temporary files of one process.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Suffix of the names of incomplete files, which start with a dot.
pub const PARTIAL_SUFFIX: &str = ".part";

/// A hidden temporary file next to its target, removed unless it is committed. Readers see the old target or
/// the new one, even if the machine crashes.
#[derive(Debug)]
pub struct AtomicFile {
    file: BufWriter<File>,
    temporary: PathBuf,
    target: PathBuf,
    position: u64,
    committed: bool,
}

impl AtomicFile {
    /// Creates a file that is to become `target`.
    ///
    /// # Errors
    /// When `target` is a folder or has no file name, and I/O errors of its folder.
    pub fn create(target: &Path) -> io::Result<AtomicFile> {
        let name = target
            .file_name()
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))?;
        if target.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let (file, temporary) = loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let mut hidden = std::ffi::OsString::from(".");
            hidden.push(name);
            hidden.push(format!(".{}-{number}{PARTIAL_SUFFIX}", std::process::id()));
            let temporary = target.with_file_name(hidden);
            match OpenOptions::new().write(true).create_new(true).open(&temporary) {
                Ok(file) => break (file, temporary),
                // Left by a killed process that had the same process ID.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        };
        let (target, position, committed) = (target.to_owned(), 0, false);
        Ok(AtomicFile {
            file: BufWriter::with_capacity(1 << 16, file),
            temporary,
            target,
            position,
            committed,
        })
    }

    /// Number of bytes written so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Syncs the file to disk, then renames it to its target.
    ///
    /// # Errors
    /// I/O errors; the target is then unchanged.
    pub fn commit(mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        std::fs::rename(&self.temporary, &self.target)?;
        self.committed = true;
        // The rename is durable once the folder is synced; systems that cannot open folders skip this.
        let folder = self
            .target
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        if let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.committed {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_of_the_same_number_left_is_not_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let next = COUNTER.load(Ordering::Relaxed);
        for number in next..next + 3 {
            let left = format!(".weights.{}-{number}{PARTIAL_SUFFIX}", std::process::id());
            std::fs::write(folder.path().join(left), "half").unwrap();
        }
        let target = folder.path().join("weights");
        let mut file = AtomicFile::create(&target).unwrap();
        file.write_all(b"whole").unwrap();
        assert_eq!(file.position(), 5);
        file.commit().unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"whole");
    }
}
