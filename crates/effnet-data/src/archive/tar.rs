//! Walks through the headers of a tar archive, for data sets and for the images that a command line names.
//!
//! The `tar` crate reads the whole of a long name into memory, however long its header says it is. Archives
//! may come from anywhere, so this module walks the headers itself, with a limit, and leaves only the parsing
//! of their fields to the crate. It reads forward only, because a compressed archive cannot be read otherwise.

use std::io::{self, BufReader, Read, Seek};
use std::path::PathBuf;

use tar::{EntryType, Header, PaxExtensions};

use super::ArchiveError;

const BLOCK: u64 = 512;
/// No operating system opens a longer path.
const LONGEST_NAME: u64 = 4096;
/// Maximum size of an extended header. These also hold attributes, which are ignored.
const LONGEST_EXTENSION: u64 = 1 << 20;
/// The position of a flag in the header of a sparse file, and in the blocks that extend it.
const SPARSE_EXTENDED: [usize; 2] = [482, 504];

/// A reader that can skip bytes.
///
/// Public for the other crates of this workspace.
pub trait Forward: Read {
    /// Skips `count` bytes.
    ///
    /// # Errors
    /// If that is impossible. A reader that cannot know its end may skip beyond it.
    fn skip(&mut self, count: u64) -> io::Result<()>;
}

impl<R: Read + Seek> Forward for BufReader<R> {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        self.seek_relative(i64::try_from(count).map_err(|_| io::ErrorKind::InvalidInput)?)
    }
}

/// An entry of a tar archive.
///
/// Public for the other crates of this workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TarMember {
    /// Its path, as in the archive.
    pub name: PathBuf,
    /// What it is.
    pub kind: TarKind,
    /// The position of its contents in the uncompressed archive.
    pub offset: u64,
    /// Size of its contents in bytes.
    pub size: u64,
}

/// The kinds of entries of a tar archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TarKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A sparse file in GNU's old format. The stored bytes are not its contents.
    GnuSparse,
    /// A sparse file according to its extended header. The stored bytes are not its contents.
    PaxSparse,
    /// A link or a device.
    Other,
}

/// Calls `visit` with each entry of a tar archive, in order.
///
/// Public for the other crates of this workspace.
///
/// # Errors
/// [`ArchiveError`] if the archive cannot be read, is damaged, or is truncated in a header, and the errors of
/// `visit`. An archive that is truncated in the contents of an entry may go unnoticed: compare their position
/// with the length of the file.
pub fn walk_tar(
    reader: &mut impl Forward,
    mut visit: impl FnMut(TarMember) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let mut walk = Walk { reader, position: 0 };
    while let Some(member) = walk.next()? {
        let size = member.size;
        visit(member)?;
        walk.skip(size)?;
    }
    Ok(())
}

struct Walk<'a, R> {
    reader: &'a mut R,
    /// The position of the next byte.
    position: u64,
}

/// What the headers preceding that of a file say about it.
#[derive(Default)]
struct Extension {
    name: Option<PathBuf>,
    size: Option<u64>,
    sparse: bool,
}

impl<R: Forward> Walk<'_, R> {
    /// Returns the next entry, and stops in front of its contents; `None` at the end.
    fn next(&mut self) -> Result<Option<TarMember>, ArchiveError> {
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
                    return Ok(Some(TarMember {
                        name: extension.name.unwrap_or_else(|| path_of(&header.path_bytes())),
                        kind: match kind {
                            EntryType::GNUSparse => TarKind::GnuSparse,
                            _ if extension.sparse => TarKind::PaxSparse,
                            _ if kind.is_file() => TarKind::File,
                            _ if kind.is_dir() => TarKind::Folder,
                            _ => TarKind::Other,
                        },
                        offset: self.position,
                        size: extension.size.unwrap_or(size),
                    }));
                }
            }
        }
        Ok(None)
    }

    /// Returns the next block; `None` at the end of the archive, which is the end of the file or a block of
    /// zeros.
    fn block(&mut self) -> Result<Option<[u8; BLOCK as usize]>, ArchiveError> {
        let mut bytes = Vec::with_capacity(BLOCK as usize);
        let read = self.reader.by_ref().take(BLOCK).read_to_end(&mut bytes);
        read.map_err(|error| self.failed(error))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let Ok(block) = <[u8; BLOCK as usize]>::try_from(bytes) else {
            return Err(self.wrong("truncated in a header"));
        };
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        self.position += BLOCK;
        Ok(Some(block))
    }

    fn check(&self, header: &Header) -> Result<(), ArchiveError> {
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
    fn data(&mut self, size: u64, most: u64) -> Result<Vec<u8>, ArchiveError> {
        if size > most {
            return Err(self.wrong(&format!("a name or header of {size} bytes, more than {most},")));
        }
        let mut bytes = vec![0; size as usize];
        self.reader
            .read_exact(&mut bytes)
            .map_err(|error| self.failed(error))?;
        let padding = size.next_multiple_of(BLOCK) - size;
        self.position += size;
        self.pass(padding)?;
        Ok(bytes)
    }

    /// Moves past `size` bytes of data and their padding.
    fn skip(&mut self, size: u64) -> Result<(), ArchiveError> {
        match size.checked_next_multiple_of(BLOCK) {
            Some(padded) => self.pass(padded),
            None => Err(self.wrong("a header with an impossible size")),
        }
    }

    fn pass(&mut self, count: u64) -> Result<(), ArchiveError> {
        let Some(end) = self.position.checked_add(count) else {
            return Err(self.wrong("a header with an impossible size"));
        };
        self.reader.skip(count).map_err(|error| self.failed(error))?;
        self.position = end;
        Ok(())
    }

    /// Moves past the blocks that extend the header of a sparse file.
    fn skip_sparse_map(&mut self, header: &[u8; BLOCK as usize]) -> Result<(), ArchiveError> {
        let mut extended = header[SPARSE_EXTENDED[0]] != 0;
        while extended {
            match self.block()? {
                Some(block) => extended = block[SPARSE_EXTENDED[1]] != 0,
                None => return Err(self.wrong("truncated in a header")),
            }
        }
        Ok(())
    }

    fn wrong(&self, what: &str) -> ArchiveError {
        ArchiveError::Damaged(format!("{what} at byte {}", self.position))
    }

    fn failed(&self, error: io::Error) -> ArchiveError {
        match error.kind() {
            // Systems refuse to seek far beyond the end.
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput => self.wrong("truncated"),
            _ => ArchiveError::Read(error),
        }
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
