//! A file in memory, without reading it.

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::error::ErrorKind;

/// A mapped file and its name.
#[derive(Debug)]
pub(crate) struct MappedFile {
    pub(crate) path: PathBuf,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Map(Mmap),
    /// A part of the program.
    Static(&'static [u8]),
}

impl MappedFile {
    pub(crate) fn open(path: &Path) -> Result<MappedFile, ErrorKind> {
        let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Io(error),
        })?;
        Self::check(&metadata)?;
        let file = File::open(path).map_err(ErrorKind::Io)?;
        // SAFETY: the map is read-only and private to this value. Another process that writes to the
        // file while it is mapped can change the numbers read, which no reader of files can prevent, and
        // one that shortens it can end this process with SIGBUS: the crate's page says so, and every
        // writer of this project renames a finished file into place instead of writing over one.
        #[allow(unsafe_code)]
        let map = unsafe { Mmap::map(&file) }.map_err(ErrorKind::Io)?;
        Ok(MappedFile {
            path: path.to_owned(),
            content: Content::Map(map),
        })
    }

    /// Bytes that are a part of the program, under the name that messages call them by.
    pub(crate) fn from_static(name: &Path, bytes: &'static [u8]) -> MappedFile {
        MappedFile {
            path: name.to_owned(),
            content: Content::Static(bytes),
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
            Content::Static(bytes) => bytes,
        }
    }

    pub(crate) fn slice(&self, range: &Range<usize>) -> &[u8] {
        self.bytes().get(range.clone()).unwrap_or_default()
    }

    /// Gives the memory of these bytes back to the system; who looks at them again reads the file again.
    /// Whoever goes through a file once needs no more memory than for what is in hand.
    pub(crate) fn release(&self, range: &Range<usize>) {
        #[cfg(unix)]
        if let Content::Map(map) = &self.content
            && !range.is_empty()
            && range.end <= map.len()
        {
            // SAFETY: this advice loses what was written to private or anonymous memory. The map is of a
            // file and read-only, so nothing was written, and the bytes stay those of the file.
            #[allow(unsafe_code)]
            let advised = unsafe {
                let advice = memmap2::UncheckedAdvice::DontNeed;
                map.unchecked_advise_range(advice, range.start, range.len())
            };
            // It is an advice: a system that does not take it keeps the pages until it needs them.
            drop(advised);
        }
    }
}
