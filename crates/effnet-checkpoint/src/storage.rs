//! Storages, which hold the bytes of tensors: in the mapped file, compressed in it, or in memory.

use std::io::Read;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use flate2::read::DeflateDecoder;

use crate::TensorError;
use crate::mapped::MappedFile;

/// A range of bytes viewed by tensors. Several tensors may share a storage.
#[derive(Debug, Clone)]
pub(crate) struct Storage {
    backing: Arc<Backing>,
    range: Range<usize>,
}

#[derive(Debug)]
enum Backing {
    Mapped(Arc<MappedFile>),
    Owned(Vec<u8>),
    Deflated(Deflated),
}

/// A compressed entry of a zip archive. `torch.save` does not compress, but people repack archives. The entry
/// is decompressed when one of its tensors is first read, and then kept.
#[derive(Debug)]
pub(crate) struct Deflated {
    pub(crate) file: Arc<MappedFile>,
    pub(crate) name: String,
    /// Compressed bytes in the file.
    pub(crate) packed: Range<usize>,
    /// Declared size after decompression in bytes, already checked against the limit.
    pub(crate) size: usize,
    pub(crate) crc: u32,
    pub(crate) unpacked: OnceLock<Result<Vec<u8>, String>>,
}

impl Storage {
    /// Returns bytes `range` of the file, which must be within the file.
    pub(crate) fn mapped(file: &Arc<MappedFile>, range: Range<usize>) -> Storage {
        Storage {
            backing: Arc::new(Backing::Mapped(Arc::clone(file))),
            range,
        }
    }

    pub(crate) fn owned(bytes: Vec<u8>) -> Storage {
        let range = 0..bytes.len();
        Storage {
            backing: Arc::new(Backing::Owned(bytes)),
            range,
        }
    }

    pub(crate) fn deflated(entry: Deflated) -> Storage {
        let range = 0..entry.size;
        Storage {
            backing: Arc::new(Backing::Deflated(entry)),
            range,
        }
    }

    /// Returns a part of this storage, in bytes from its start; `None` if it reaches beyond the end.
    pub(crate) fn part(&self, offset: usize, len: usize) -> Option<Storage> {
        let start = self.range.start.checked_add(offset)?;
        let end = start.checked_add(len)?;
        (end <= self.range.end).then(|| Storage {
            backing: Arc::clone(&self.backing),
            range: start..end,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.range.len()
    }

    /// Releases the memory of a mapped storage, which can still be read.
    pub(crate) fn release(&self) {
        if let Backing::Mapped(file) = &*self.backing {
            file.release(&self.range);
        }
    }

    pub(crate) fn bytes(&self) -> Result<&[u8], TensorError> {
        match &*self.backing {
            Backing::Mapped(file) => Ok(file.slice(&self.range)),
            Backing::Owned(bytes) => Ok(&bytes[self.range.clone()]),
            Backing::Deflated(entry) => match entry.unpacked.get_or_init(|| entry.unpack()) {
                Ok(bytes) => Ok(&bytes[self.range.clone()]),
                Err(what) => Err(TensorError::Damaged {
                    path: entry.file.path.clone(),
                    what: what.clone(),
                }),
            },
        }
    }
}

impl Deflated {
    fn unpack(&self) -> Result<Vec<u8>, String> {
        inflate(self.file.slice(&self.packed), self.size, self.crc, &self.name)
    }
}

/// The maximum compression ratio of Deflate.
const MAX_RATIO: usize = 1032;

/// Decompresses an entry of exactly `size` bytes with checksum `crc`. The budget was charged for `size`, so
/// the memory is reserved at once: a growing vector would briefly take up to three times as much.
pub(crate) fn inflate(packed: &[u8], size: usize, crc: u32, name: &str) -> Result<Vec<u8>, String> {
    let possible = packed.len().saturating_mul(MAX_RATIO);
    let mut bytes = Vec::with_capacity(size.min(possible).saturating_add(1));
    let mut decoder = DeflateDecoder::new(packed).take(size as u64 + 1);
    decoder
        .read_to_end(&mut bytes)
        .map_err(|error| format!("entry `{name}` cannot be decompressed: {error}"))?;
    if bytes.len() != size {
        let found = if bytes.len() > size {
            "more".to_owned()
        } else {
            bytes.len().to_string()
        };
        return Err(format!(
            "entry `{name}` declares {size} bytes but decompresses to {found}"
        ));
    }
    let found = crc32fast::hash(&bytes);
    if found != crc {
        return Err(format!(
            "entry `{name}` has checksum {found:08x}, expected {crc:08x}"
        ));
    }
    Ok(bytes)
}
