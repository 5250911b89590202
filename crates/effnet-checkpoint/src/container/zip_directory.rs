//! The central directory of a zip archive (APPNOTE 6.3, sections 4.3.7 to 4.3.16, 4.5.3).
//!
//! `torch.save` leaves sizes and checksums of local headers empty, so only the directory at the end of the
//! file counts; a local header is read only to find where the bytes of its entry start.
//!
//! Names stay in the file, and the entries are sorted by name rather than put in a map, so that a directory
//! with nothing but short entries takes less memory than it takes bytes in the file.

use std::ops::Range;
use std::sync::Arc;

use crate::Container;
use crate::budget::Budget;
use crate::error::ErrorKind;
use crate::mapped::MappedFile;
use crate::quote::quote_bytes;

const END: &[u8] = b"PK\x05\x06";
const END_LEN: usize = 22;
const END64_LOCATOR_LEN: usize = 20;
const MAX_COMMENT: usize = 0xffff;
/// Size of an entry of the directory without its name and extra field.
const MIN_ENTRY_LEN: usize = 46;

/// One file of the archive.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Its name in the archive.
    name: Range<usize>,
    /// Its bytes in the archive.
    pub(super) stored: Range<usize>,
    /// Declared size after decompression in bytes.
    pub(super) size: u64,
    pub(super) crc: u32,
    pub(super) method: Method,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Stored,
    Deflated,
    /// Encrypted, or compressed by a different method.
    Other(u16),
}

/// All entries, sorted by name.
#[derive(Debug)]
pub(super) struct Directory {
    file: Arc<MappedFile>,
    entries: Vec<Entry>,
}

impl Directory {
    /// # Errors
    /// Fails if the directory is missing or damaged, reaches beyond the end of the file, or contains a name
    /// twice.
    pub(super) fn read(file: &Arc<MappedFile>, budget: &Budget) -> Result<Directory, ErrorKind> {
        let bytes = file.bytes();
        let (start, count) = locate(bytes)?;
        let mut rest = Fields {
            bytes,
            position: start,
        };
        let possible = bytes.len().saturating_sub(start) / MIN_ENTRY_LEN;
        let capacity = usize::try_from(count).map_or(possible, |count| count.min(possible));
        budget.hold(capacity.saturating_mul(size_of::<Entry>()));
        budget.check()?;
        let mut directory = Directory {
            file: Arc::clone(file),
            entries: Vec::with_capacity(capacity),
        };
        for _ in 0..count {
            let entry = rest.entry()?;
            budget.read(entry.name.len());
            budget.check()?;
            directory.entries.push(entry);
        }
        directory
            .entries
            .sort_unstable_by(|one, other| file.slice(&one.name).cmp(file.slice(&other.name)));
        let twice = directory.entries.windows(2).find_map(|pair| match pair {
            [one, other] if file.slice(&one.name) == file.slice(&other.name) => Some(one),
            _ => None,
        });
        match twice {
            Some(entry) => Err(Container::Zip.damaged(format!(
                "it has two entries named `{}`, and readers differ in which one they use",
                directory.quoted(entry)
            ))),
            None => Ok(directory),
        }
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&Entry> {
        let found = self.entries.binary_search_by(|entry| self.name(entry).cmp(name));
        self.entries.get(found.ok()?)
    }

    /// Returns all entries in the order of their names.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Returns the name of an entry, which may not be UTF-8.
    pub(super) fn name(&self, entry: &Entry) -> &[u8] {
        self.file.slice(&entry.name)
    }

    /// Returns the name of an entry for a message.
    pub(super) fn quoted(&self, entry: &Entry) -> String {
        quote_bytes(self.name(entry))
    }
}

/// Finds the offset of the directory and the number of entries.
fn locate(bytes: &[u8]) -> Result<(usize, u64), ErrorKind> {
    let lowest = bytes.len().saturating_sub(END_LEN + MAX_COMMENT);
    let end = (lowest..=bytes.len().saturating_sub(END_LEN))
        .rev()
        .find(|&at| bytes[at..].starts_with(END) && comment_fits(bytes, at))
        .ok_or_else(|| Container::Zip.truncated("the directory at its end is missing"))?;
    let mut fields = Fields {
        bytes,
        position: end + 10,
    };
    let (count, _size, offset) = (fields.u16()?, fields.u32()?, fields.u32()?);
    let locator = end
        .checked_sub(END64_LOCATOR_LEN)
        .filter(|&at| bytes[at..].starts_with(b"PK\x06\x07"));
    let Some(locator) = locator else {
        return Ok((offset as usize, u64::from(count)));
    };
    let mut fields = Fields {
        bytes,
        position: locator + 8,
    };
    let end64 = fields.offset()?;
    if !bytes
        .get(end64..)
        .is_some_and(|rest| rest.starts_with(b"PK\x06\x06"))
    {
        return Err(Container::Zip.damaged("its ZIP64 directory record is not at its recorded offset"));
    }
    let mut fields = Fields {
        bytes,
        position: end64 + 32,
    };
    let count = fields.u64()?;
    fields.u64()?;
    Ok((fields.offset()?, count))
}

fn comment_fits(bytes: &[u8], at: usize) -> bool {
    let len = usize::from(u16::from_le_bytes([bytes[at + 20], bytes[at + 21]]));
    at + END_LEN + len <= bytes.len()
}

/// Reads little-endian numbers from a position.
struct Fields<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], ErrorKind> {
        let slice = self
            .position
            .checked_add(len)
            .and_then(|end| self.bytes.get(self.position..end))
            .ok_or_else(|| Container::Zip.damaged("its directory reaches beyond the end of the file"))?;
        self.position += len;
        Ok(slice)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ErrorKind> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u16(&mut self) -> Result<u16, ErrorKind> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, ErrorKind> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, ErrorKind> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn offset(&mut self) -> Result<usize, ErrorKind> {
        usize::try_from(self.u64()?)
            .map_err(|_| Container::Zip.damaged("an offset in its directory is too large for any file"))
    }

    fn entry(&mut self) -> Result<Entry, ErrorKind> {
        if self.take(4)? != b"PK\x01\x02" {
            return Err(Container::Zip.damaged("an entry of its directory has an invalid signature"));
        }
        self.take(4)?;
        let (flags, method) = (self.u16()?, self.u16()?);
        self.take(4)?;
        let crc = self.u32()?;
        let (packed, size) = (self.u32()?, self.u32()?);
        let (name_len, extra_len, comment_len) = (self.u16()?, self.u16()?, self.u16()?);
        self.take(8)?;
        let local = self.u32()?;
        let name = self.position..self.position + usize::from(name_len);
        self.take(name.len())?;
        let extra = self.take(usize::from(extra_len))?;
        self.take(usize::from(comment_len))?;

        let [size, packed, local] = widened(extra, [size, packed, local]);
        let method = match (method, flags & 1) {
            (0, 0) => Method::Stored,
            (8, 0) => Method::Deflated,
            (other, _) => Method::Other(other),
        };
        let stored = self.content(local, packed).map_err(|what| {
            let name = quote_bytes(&self.bytes[name.clone()]);
            Container::Zip.damaged(format!("entry `{name}` {what}"))
        })?;
        if method == Method::Stored && stored.len() as u64 != size {
            let name = quote_bytes(&self.bytes[name]);
            return Err(Container::Zip.damaged(format!("entry `{name}` has two different sizes")));
        }
        Ok(Entry {
            name,
            stored,
            size,
            crc,
            method,
        })
    }

    /// Returns the bytes of an entry, which follow its local header. The extra field there has its own
    /// length: that is how `torch.save` aligns the bytes to 64.
    fn content(&self, local: u64, packed: u64) -> Result<Range<usize>, &'static str> {
        const OUTSIDE: &str = "reaches beyond the end of the file";
        let mut header = Fields {
            bytes: self.bytes,
            position: usize::try_from(local).map_err(|_| OUTSIDE)?,
        };
        if header.take(4).map_err(|_| OUTSIDE)? != b"PK\x03\x04" {
            return Err("is not at its recorded offset");
        }
        header.take(22).map_err(|_| OUTSIDE)?;
        let name_len = header.u16().map_err(|_| OUTSIDE)?;
        let extra_len = header.u16().map_err(|_| OUTSIDE)?;
        let skipped = usize::from(name_len) + usize::from(extra_len);
        header.take(skipped).map_err(|_| OUTSIDE)?;
        let start = header.position;
        let packed = usize::try_from(packed).map_err(|_| OUTSIDE)?;
        header.take(packed).map_err(|_| OUTSIDE)?;
        Ok(start..start + packed)
    }
}

/// Replaces each saturated 32-bit field by the next 64-bit one of the ZIP64 extra field, in its order: size,
/// compressed size, offset.
fn widened(extra: &[u8], narrow: [u32; 3]) -> [u64; 3] {
    let mut wide = narrow.map(u64::from);
    let mut rest = extra;
    while let [id0, id1, len0, len1, tail @ ..] = rest {
        let len = usize::from(u16::from_le_bytes([*len0, *len1])).min(tail.len());
        if u16::from_le_bytes([*id0, *id1]) == 1 {
            let mut numbers = tail[..len].as_chunks::<8>().0.iter();
            for (field, &short) in wide.iter_mut().zip(&narrow) {
                if short == u32::MAX
                    && let Some(&number) = numbers.next()
                {
                    *field = u64::from_le_bytes(number);
                }
            }
        }
        rest = &tail[len..];
    }
    wide
}
