//! Memory-mapped files.
//!
//! Tensors borrow from the map, so opening a file copies no parameters, and only the tensors that are used
//! are read from disk.

use std::borrow::Cow;
use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::error::ErrorKind;

/// A memory-mapped file and its path.
#[derive(Debug)]
pub(crate) struct MappedFile {
    pub(crate) path: PathBuf,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Map(Mmap),
    /// Embedded in the program, or read by the caller.
    Memory(Cow<'static, [u8]>),
}

impl MappedFile {
    pub(crate) fn open(path: &Path) -> Result<MappedFile, ErrorKind> {
        let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Io(error),
        })?;
        Self::check(&metadata)?;
        let file = File::open(path).map_err(ErrorKind::Io)?;
        // SAFETY: the map is read-only and private to this value. If another process writes to the mapped
        // file, the numbers can change, which no reader of files can prevent; if it truncates the file, this
        // process can be killed by SIGBUS. The README says so, and all writers of this project rename a
        // finished file into place instead of overwriting one.
        #[allow(unsafe_code)]
        let map = unsafe { Mmap::map(&file) }.map_err(ErrorKind::Io)?;
        Ok(MappedFile {
            path: path.to_owned(),
            content: Content::Map(map),
        })
    }

    /// Wraps bytes in memory; messages refer to them as `name`.
    pub(crate) fn in_memory(name: &Path, bytes: Cow<'static, [u8]>) -> MappedFile {
        MappedFile {
            path: name.to_owned(),
            content: Content::Memory(bytes),
        }
    }

    fn check(metadata: &Metadata) -> Result<(), ErrorKind> {
        if metadata.is_dir() {
            return Err(ErrorKind::Folder);
        }
        if !metadata.is_file() {
            return Err(ErrorKind::NotRegular);
        }
        if metadata.len() == 0 {
            return Err(ErrorKind::Empty);
        }
        Ok(())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.content {
            Content::Map(map) => map,
            Content::Memory(bytes) => bytes,
        }
    }

    pub(crate) fn slice(&self, range: &Range<usize>) -> &[u8] {
        self.bytes().get(range.clone()).unwrap_or_default()
    }

    /// Releases the memory of these bytes; accessing them again reads the file again. A caller that makes a
    /// single pass over a file then needs only the memory of one tensor.
    pub(crate) fn release(&self, range: &Range<usize>) {
        #[cfg(unix)]
        if let Content::Map(map) = &self.content
            && !range.is_empty()
            && range.end <= map.len()
        {
            // SAFETY: this advice discards writes to private or anonymous memory. The map is read-only and
            // backed by a file, so nothing was written, and the bytes remain those of the file.
            #[allow(unsafe_code)]
            let advised = unsafe {
                let advice = memmap2::UncheckedAdvice::DontNeed;
                map.unchecked_advise_range(advice, range.start, range.len())
            };
            // Only advice: a system that ignores it keeps the pages until it needs the memory.
            drop(advised);
        }
    }
}
