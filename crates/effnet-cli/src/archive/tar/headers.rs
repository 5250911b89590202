//! Walks through the headers of a tar archive.
//!
//! The tar crate reads a long name into memory in full, however long its header claims it to be. This module therefore
//! walks through the headers itself, with a limit, and uses the crate only to parse their fields.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use ::tar::{EntryType, Header, PaxExtensions};

const BLOCK: u64 = 512;
/// The longest name in bytes; no system opens a longer path.
const LONGEST_NAME: u64 = 4096;
/// The longest extended header in bytes. It may also hold attributes, which are skipped.
const LONGEST_EXTENSION: u64 = 1 << 20;

/// A reader that can skip bytes.
pub(super) trait Forward: Read {
    /// Skips `count` bytes.
    fn skip(&mut self, count: u64) -> io::Result<()>;
}

impl Forward for BufReader<File> {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        self.seek_relative(i64::try_from(count).map_err(io::Error::other)?)
    }
}

/// Calls `file` with the path, position and size of each regular file, in archive order.
///
/// # Errors
/// If the archive is damaged, or truncated within a header.
pub(super) fn walk(reader: &mut impl Forward, mut file: impl FnMut(&Path, u64, u64)) -> io::Result<()> {
    let mut position = 0;
    let (mut long_name, mut long_size) = (None, None);
    let mut is_sparse = false;
    while let Some(block) = next_block(reader)? {
        position += BLOCK;
        let header = Header::from_byte_slice(&block);
        check(header)?;
        let declared = header.entry_size()?;
        let mut size = declared;
        match header.entry_type() {
            EntryType::GNULongName => {
                let bytes = data(reader, size, LONGEST_NAME)?;
                long_name = bytes.split(|byte| *byte == 0).next().map(path_of);
            }
            EntryType::XHeader => {
                let bytes = data(reader, size, LONGEST_EXTENSION)?;
                for record in PaxExtensions::new(&bytes).flatten() {
                    match record.key_bytes() {
                        b"path" => long_name = Some(path_of(record.value_bytes())),
                        b"size" => long_size = record.value().ok().and_then(|value| value.parse().ok()),
                        key => is_sparse |= key.starts_with(b"GNU.sparse."),
                    }
                }
            }
            EntryType::GNULongLink | EntryType::XGlobalHeader => reader.skip(size)?,
            EntryType::GNUSparse => return Err(io::Error::other("sparse files are not supported")),
            kind => {
                size = long_size.take().unwrap_or(declared);
                let name = long_name.take().unwrap_or_else(|| path_of(&header.path_bytes()));
                // The stored bytes of a sparse file are not its content.
                if kind.is_file() && !std::mem::take(&mut is_sparse) {
                    file(&name, position, size);
                }
                reader.skip(size)?;
            }
        }
        let padded = size.checked_next_multiple_of(BLOCK).ok_or_else(impossible)?;
        reader.skip(padded - size)?;
        position = position.checked_add(padded).ok_or_else(impossible)?;
    }
    Ok(())
}

/// Reads the next header. Returns `None` at the end of the archive, which is the end of the file or a block of zeros.
fn next_block(reader: &mut impl Read) -> io::Result<Option<[u8; BLOCK as usize]>> {
    let mut bytes = Vec::with_capacity(BLOCK as usize);
    reader.by_ref().take(BLOCK).read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let block: [u8; BLOCK as usize] = bytes
        .try_into()
        .map_err(|_| io::Error::other("truncated in a header"))?;
    Ok(block.iter().any(|byte| *byte != 0).then_some(block))
}

fn check(header: &Header) -> io::Result<()> {
    let bytes = header.as_bytes();
    let sum: u32 = bytes[..148]
        .iter()
        .chain(&bytes[156..])
        .map(|byte| u32::from(*byte))
        .sum();
    match header.cksum() {
        Ok(stored) if stored == sum + 8 * u32::from(b' ') => Ok(()),
        _ => Err(io::Error::other("a header with a wrong checksum")),
    }
}

/// Reads the data that follows a header. Fails if there are more than `most` bytes.
fn data(reader: &mut impl Read, size: u64, most: u64) -> io::Result<Vec<u8>> {
    if size > most {
        return Err(io::Error::other(format!(
            "a name or header of {size} bytes is too long"
        )));
    }
    let mut bytes = vec![0; size as usize];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn impossible() -> io::Error {
    io::Error::other("a header with an impossible size")
}

fn path_of(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    std::ffi::OsStr::from_bytes(bytes).into()
}
