//! The central directory of a zip archive (APPNOTE 6.3, sections 4.3.7 to 4.3.16, 4.5.3).
//!
//! `torch.save` leaves sizes and checksums of local headers empty, so only the directory at the end of the
//! file counts; a local header is read only to find where the bytes of its entry start.

use std::collections::HashMap;
use std::ops::Range;

use crate::Container;
use crate::error::ErrorKind;

const END: &[u8] = b"PK\x05\x06";
const END_LEN: usize = 22;
const END64_LOCATOR_LEN: usize = 20;
const MAX_COMMENT: usize = 0xffff;

/// One file of the archive.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: String,
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
    /// Encrypted, or compressed by another method.
    Other(u16),
}

/// All entries by name, and their order in the directory.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
}

impl Directory {
    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.by_name.get(name).map(|&index| &self.entries[index])
    }

    /// # Errors
    /// When the directory is missing or damaged, exceeds the file, or contains a name twice.
    pub(super) fn read(bytes: &[u8]) -> Result<Directory, ErrorKind> {
        let (start, count) = locate(bytes)?;
        let mut rest = Fields {
            bytes,
            position: start,
        };
        let mut directory = Directory {
            entries: Vec::new(),
            by_name: HashMap::new(),
        };
        for _ in 0..count {
            let entry = rest.entry()?;
            if directory
                .by_name
                .insert(entry.name.clone(), directory.entries.len())
                .is_some()
            {
                return Err(Container::Zip.damaged(format!(
                    "it has two entries named `{}`, and readers differ in which one they use",
                    entry.name
                )));
            }
            directory.entries.push(entry);
        }
        Ok(directory)
    }
}

/// Offset of the directory and number of entries.
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
        let name = String::from_utf8_lossy(self.take(usize::from(name_len))?).into_owned();
        let extra = self.take(usize::from(extra_len))?;
        self.take(usize::from(comment_len))?;

        let [size, packed, local] = widened(extra, [size, packed, local]);
        let method = match (method, flags & 1) {
            (0, 0) => Method::Stored,
            (8, 0) => Method::Deflated,
            (other, _) => Method::Other(other),
        };
        let stored = self.content(&name, local, packed)?;
        if method == Method::Stored && stored.len() as u64 != size {
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

    /// The bytes of an entry, which follow its local header. The extra field there has its own length: that
    /// is how `torch.save` aligns the bytes to 64.
    fn content(&self, name: &str, local: u64, packed: u64) -> Result<Range<usize>, ErrorKind> {
        let outside = || Container::Zip.damaged(format!("entry `{name}` reaches beyond the end of the file"));
        let local = usize::try_from(local).map_err(|_| outside())?;
        let mut header = Fields {
            bytes: self.bytes,
            position: local,
        };
        if header.take(4).map_err(|_| outside())? != b"PK\x03\x04" {
            return Err(Container::Zip.damaged(format!("entry `{name}` is not at its recorded offset")));
        }
        header.take(22).map_err(|_| outside())?;
        let lens = (
            header.u16().map_err(|_| outside())?,
            header.u16().map_err(|_| outside())?,
        );
        header
            .take(usize::from(lens.0) + usize::from(lens.1))
            .map_err(|_| outside())?;
        let packed = usize::try_from(packed).map_err(|_| outside())?;
        let start = header.position;
        header.take(packed).map_err(|_| outside())?;
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
