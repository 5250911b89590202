//! Reads the headers of a tar archive.
//!
//! The `tar` crate reads the whole of a long name into memory, however long its header says it is. Archives
//! may come from anywhere, so this module walks the headers itself, with a limit, and leaves only the parsing
//! of their fields to the crate.

use std::fs::File;
use std::path::{Path, PathBuf};

use tar::{EntryType, Header, PaxExtensions};

use super::damaged;
use crate::DataError;
use crate::positional::read_exact_at;

const BLOCK: u64 = 512;
/// No operating system opens a longer path.
const LONGEST_NAME: u64 = 4096;
/// Maximum size of an extended header. These also hold attributes, which are ignored.
const LONGEST_EXTENSION: u64 = 1 << 20;
/// The position of a flag in the header of a sparse file, and in the blocks that extend it.
const SPARSE_EXTENDED: [usize; 2] = [482, 504];

/// A file or folder of an archive.
pub(super) struct Member {
    pub(super) name: PathBuf,
    pub(super) kind: EntryType,
    /// The position of its contents.
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// Walks over the headers of an archive of `length` bytes.
pub(super) struct Headers<'a> {
    path: &'a Path,
    file: &'a File,
    length: u64,
    /// The position of the next header.
    position: u64,
}

/// What the headers preceding that of a file say about it.
#[derive(Default)]
struct Extension {
    name: Option<PathBuf>,
    size: Option<u64>,
    sparse: bool,
}

impl<'a> Headers<'a> {
    pub(super) fn new(path: &'a Path, file: &'a File, length: u64) -> Self {
        Self {
            path,
            file,
            length,
            position: 0,
        }
    }

    /// Returns the next file, folder or link; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Member>, DataError> {
        let mut extension = Extension::default();
        while let Some(block) = self.block()? {
            let header = Header::from_byte_slice(&block);
            self.check(header)?;
            let size = header
                .entry_size()
                .map_err(|error| self.wrong(&error.to_string()))?;
            match header.entry_type() {
                EntryType::GNULongName => {
                    let bytes = self.data(size, LONGEST_NAME)?;
                    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
                    extension.name = Some(path_of(name));
                }
                EntryType::XHeader => extension.read(&self.data(size, LONGEST_EXTENSION)?),
                EntryType::GNULongLink | EntryType::XGlobalHeader => self.skip(size)?,
                kind => {
                    if kind.is_gnu_sparse() {
                        self.skip_sparse_map(&block)?;
                    }
                    let member = Member {
                        name: extension.name.unwrap_or_else(|| path_of(&header.path_bytes())),
                        // Its bytes are not the contents of the file.
                        kind: if extension.sparse {
                            EntryType::GNUSparse
                        } else {
                            kind
                        },
                        offset: self.position,
                        size: extension.size.unwrap_or(size),
                    };
                    let end = member.offset.checked_add(member.size);
                    if end.is_none_or(|end| end > self.length) {
                        let name = member.name.display();
                        let found = format!("one truncated in {name:.200} at byte {}", self.length);
                        return Err(damaged(self.path, found));
                    }
                    self.skip(member.size)?;
                    return Ok(Some(member));
                }
            }
        }
        Ok(None)
    }

    /// Returns the next block; `None` at the end of the archive, which is the end of the file or a block of
    /// zeros.
    fn block(&mut self) -> Result<Option<[u8; BLOCK as usize]>, DataError> {
        if self.position >= self.length {
            return Ok(None);
        }
        let mut block = [0; BLOCK as usize];
        if self.length - self.position < BLOCK {
            return Err(self.wrong("one truncated in a header"));
        }
        read_exact_at(self.file, &mut block, self.position).map_err(|source| DataError::Read {
            path: self.path.to_owned(),
            source,
        })?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        self.position += BLOCK;
        Ok(Some(block))
    }

    fn check(&self, header: &Header) -> Result<(), DataError> {
        let bytes = header.as_bytes();
        let sum: u32 = bytes[..148]
            .iter()
            .chain(&bytes[156..])
            .map(|byte| u32::from(*byte))
            .sum();
        match header.cksum() {
            Ok(stored) if stored == sum + 8 * u32::from(b' ') => Ok(()),
            _ => Err(self.wrong("a header with a wrong checksum")),
        }
    }

    /// Reads the data of a header, which must have at most `most` bytes.
    fn data(&mut self, size: u64, most: u64) -> Result<Vec<u8>, DataError> {
        if size > most {
            return Err(self.wrong(&format!("a name or header of {size} bytes, more than {most},")));
        }
        if size > self.length - self.position {
            return Err(self.wrong("one truncated in a header"));
        }
        let mut bytes = vec![0; size as usize];
        read_exact_at(self.file, &mut bytes, self.position).map_err(|source| DataError::Read {
            path: self.path.to_owned(),
            source,
        })?;
        self.skip(size)?;
        Ok(bytes)
    }

    /// Moves past `size` bytes of data and their padding.
    fn skip(&mut self, size: u64) -> Result<(), DataError> {
        let padded = size.checked_next_multiple_of(BLOCK);
        match padded.and_then(|padded| self.position.checked_add(padded)) {
            Some(end) => {
                self.position = end;
                Ok(())
            }
            None => Err(self.wrong("a header with an impossible size")),
        }
    }

    /// Moves past the blocks that extend the header of a sparse file.
    fn skip_sparse_map(&mut self, header: &[u8; BLOCK as usize]) -> Result<(), DataError> {
        let mut extended = header[SPARSE_EXTENDED[0]] != 0;
        while extended {
            match self.block()? {
                Some(block) => extended = block[SPARSE_EXTENDED[1]] != 0,
                None => return Err(self.wrong("one truncated in a header")),
            }
        }
        Ok(())
    }

    fn wrong(&self, what: &str) -> DataError {
        damaged(self.path, format!("{what} at byte {}", self.position))
    }
}

impl Extension {
    /// Reads the name and the size from an extended header.
    fn read(&mut self, bytes: &[u8]) {
        for record in PaxExtensions::new(bytes).flatten() {
            let value = record.value_bytes();
            match record.key_bytes() {
                b"path" => self.name = Some(path_of(value)),
                b"size" => self.size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()),
                key => self.sparse |= key.starts_with(b"GNU.sparse."),
            }
        }
    }
}

#[cfg(unix)]
fn path_of(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    std::ffi::OsStr::from_bytes(bytes).into()
}

#[cfg(not(unix))]
fn path_of(bytes: &[u8]) -> PathBuf {
    String::from_utf8_lossy(bytes).into_owned().into()
}
