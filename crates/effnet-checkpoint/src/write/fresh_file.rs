//! A file that appears under its name only when it is complete.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Tells the files of one process apart.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A new file beside its target; removed again unless it is committed.
pub(super) struct FreshFile {
    file: BufWriter<File>,
    temporary: PathBuf,
    target: PathBuf,
    position: u64,
    committed: bool,
}

impl FreshFile {
    pub(super) fn create(target: &Path) -> io::Result<FreshFile> {
        let name = target
            .file_name()
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))?;
        if target.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}-{number}.part", std::process::id()));
        let temporary = target.with_file_name(hidden);
        let file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
        let (target, position, committed) = (target.to_owned(), 0, false);
        Ok(FreshFile {
            file: BufWriter::with_capacity(1 << 16, file),
            temporary,
            target,
            position,
            committed,
        })
    }

    /// Bytes written so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Makes sure that the bytes are on the disk, then gives the file its name.
    pub(super) fn commit(mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        std::fs::rename(&self.temporary, &self.target)?;
        self.committed = true;
        // The new name is on the disk when its folder is; systems that cannot open folders do without.
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

impl Drop for FreshFile {
    fn drop(&mut self) {
        if !self.committed {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}
