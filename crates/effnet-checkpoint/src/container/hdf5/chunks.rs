//! Chunked datasets, which `compression="gzip"` and `chunks=True` of h5py write.

use std::borrow::Cow;
use std::io::Read as _;

use flate2::read::ZlibDecoder;

use super::fields::Fields;
use super::{Hdf5, Outcome, Problem, UNDEFINED, damaged};

/// Maximum height of a B-tree of chunks.
const MAX_LEVEL: u8 = 16;
const MAX_FILTERS: u8 = 8;
/// Size in bytes up to which the memory for a chunk is not charged, as the limits allow 64 MiB for any file.
const SCRATCH: usize = 1 << 20;

/// A step of the filter pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filter {
    Deflate,
    /// Bytes of equal significance together.
    Shuffle,
    /// A checksum of four bytes behind the data.
    Fletcher32,
}

impl Filter {
    /// Reads a filter pipeline message, in the order in which the filters were applied.
    pub(super) fn list(fields: &mut Fields<'_>) -> Outcome<Vec<Self>> {
        let (version, count) = (fields.u8()?, fields.u8()?);
        if !matches!(version, 1 | 2) || count > MAX_FILTERS {
            return damaged("the filters of a dataset have an unknown version or number");
        }
        fields.skip(if version == 1 { 6 } else { 0 })?;
        (0..count).map(|_| Self::read(fields, version)).collect()
    }

    fn read(fields: &mut Fields<'_>, version: u8) -> Outcome<Self> {
        let id = fields.u16()?;
        let has_name = version == 1 || id >= 256;
        let name = if has_name { usize::from(fields.u16()?) } else { 0 };
        fields.skip(2)?;
        let values = usize::from(fields.u16()?);
        let padded = if version == 1 {
            name.next_multiple_of(8)
        } else {
            name
        };
        fields.skip(padded + 4 * values)?;
        fields.skip(if version == 1 && values % 2 == 1 { 4 } else { 0 })?;
        match id {
            1 => Ok(Self::Deflate),
            2 => Ok(Self::Shuffle),
            3 => Ok(Self::Fletcher32),
            _ => Err(Problem::Unsupported("a compression other than gzip")),
        }
    }
}

/// The chunks of a dataset.
pub(super) struct Grid<'a> {
    tree: u64,
    shape: &'a [usize],
    /// Sizes of a chunk.
    chunk: Vec<usize>,
    element: usize,
}

impl<'a> Grid<'a> {
    /// Reads the rest of a layout message of version 3.
    pub(super) fn read(layout: &mut Fields<'_>, shape: &'a [usize], element: usize) -> Outcome<Self> {
        let rank = usize::from(layout.u8()?);
        if rank != shape.len() + 1 {
            return damaged("its chunks and its shape differ in their number of dimensions");
        }
        let tree = layout.u64()?;
        let mut chunk: Vec<usize> = (0..rank)
            .map(|_| Ok(layout.u32()? as usize))
            .collect::<Outcome<_>>()?;
        let stated = chunk.pop();
        if stated != Some(element) || chunk.contains(&0) {
            return damaged("its chunks have an impossible size");
        }
        Ok(Self {
            tree,
            shape,
            chunk,
            element,
        })
    }

    /// Returns all elements in row-major order. The caller has charged for `nbytes`.
    pub(super) fn assemble(&self, reader: &Hdf5<'_>, filters: &[Filter], nbytes: usize) -> Outcome<Vec<u8>> {
        let chunk_len = self
            .chunk
            .iter()
            .try_fold(self.element, |total, &size| total.checked_mul(size));
        // A chunk may reach beyond a dataset, but not be a bomb of its own.
        let largest = nbytes.saturating_mul(4).saturating_add(SCRATCH);
        let Some(chunk_len) = chunk_len.filter(|&len| len <= largest) else {
            return damaged("its chunks are far larger than the dataset");
        };
        // h5py's own chunks are smaller, and the memory for one is released before the next.
        if chunk_len > SCRATCH {
            reader.budget.hold(chunk_len.saturating_mul(3));
            reader.budget.check()?;
        }
        let mut chunks = Vec::new();
        if self.tree != UNDEFINED {
            self.node(reader, self.tree, None, &mut chunks)?;
        }
        // Otherwise a few bytes could claim gigabytes of zeros.
        let sizes = self.shape.iter().zip(&self.chunk);
        let expected = sizes.fold(1, |total: usize, (&size, &chunk)| {
            total.saturating_mul(size.div_ceil(chunk))
        });
        if chunks.len() != expected {
            return damaged(format!("it has {} chunks, expected {expected}", chunks.len()));
        }
        let mut job = Assembly {
            grid: self,
            filters,
            chunk_len,
            elements: vec![0; nbytes],
        };
        for chunk in &chunks {
            // What a chunk decompresses to is charged each time: a node may list the same bytes many times.
            reader.budget.step(chunk_len / 8);
            reader.budget.check()?;
            let stored = reader.at(chunk.address)?.take(chunk.len)?;
            job.chunk(stored, chunk)?;
        }
        Ok(job.elements)
    }

    /// Collects the chunks below a node of the B-tree.
    fn node(
        &self,
        reader: &Hdf5<'_>,
        address: u64,
        level: Option<u8>,
        chunks: &mut Vec<Chunk>,
    ) -> Outcome<()> {
        reader.visit()?;
        let mut fields = reader.at(address)?;
        fields.signature(*b"TREE")?;
        let (of, found) = (fields.u8()?, fields.u8()?);
        if of != 1 || found > MAX_LEVEL || level.is_some_and(|level| found != level) {
            return damaged("a node of its chunks' B-tree has an invalid kind or level");
        }
        let count = fields.u16()?;
        fields.skip(16)?;
        for _ in 0..count {
            let (len, skipped) = (fields.u32()? as usize, fields.u32()?);
            let mut offsets = Vec::with_capacity(self.shape.len());
            for _ in self.shape {
                offsets.push(fields.size()?);
            }
            fields.skip(8)?;
            let address = fields.u64()?;
            if let Some(below) = found.checked_sub(1) {
                self.node(reader, address, Some(below), chunks)?;
                continue;
            }
            reader.visit()?;
            reader.budget.hold(2 * size_of::<Chunk>() + 8 * offsets.len());
            reader.budget.check()?;
            let sizes = offsets.iter().zip(self.shape).zip(&self.chunk);
            let mut inside = sizes.map(|((offset, size), chunk)| offset < size && offset % chunk == 0);
            let follows = chunks.last().is_none_or(|last| last.offsets < offsets);
            if !(follows && inside.all(|inside| inside)) {
                return damaged("a chunk lies outside the dataset, or is listed twice");
            }
            chunks.push(Chunk {
                address,
                len,
                skipped,
                offsets,
            });
        }
        Ok(())
    }
}

/// A chunk in the file.
struct Chunk {
    address: u64,
    len: usize,
    /// The filters that were not applied to it, a bit for each.
    skipped: u32,
    /// Its place in the dataset.
    offsets: Vec<usize>,
}

struct Assembly<'a> {
    grid: &'a Grid<'a>,
    filters: &'a [Filter],
    chunk_len: usize,
    elements: Vec<u8>,
}

impl Assembly<'_> {
    fn chunk(&mut self, stored: &[u8], chunk: &Chunk) -> Outcome<()> {
        let mut bytes = Cow::Borrowed(stored);
        for (place, filter) in self.filters.iter().enumerate().rev() {
            if chunk.skipped & (1 << place) == 0 {
                bytes = Cow::Owned(self.undo(*filter, &bytes)?);
            }
        }
        if bytes.len() != self.chunk_len {
            return damaged(format!(
                "a chunk has {} bytes, expected {}",
                bytes.len(),
                self.chunk_len
            ));
        }
        self.place(&bytes, &chunk.offsets);
        Ok(())
    }

    fn undo(&self, filter: Filter, bytes: &[u8]) -> Outcome<Vec<u8>> {
        match filter {
            Filter::Deflate => {
                let most = self.chunk_len as u64 + 5;
                let mut unpacked =
                    Vec::with_capacity(self.chunk_len.min(bytes.len().saturating_mul(1032)) + 5);
                ZlibDecoder::new(bytes)
                    .take(most)
                    .read_to_end(&mut unpacked)
                    .map_err(|error| Problem::Damaged(format!("a chunk cannot be decompressed: {error}")))?;
                Ok(unpacked)
            }
            Filter::Shuffle => {
                let count = bytes.len() / self.grid.element;
                let mut ordered = vec![0; bytes.len()];
                for (place, byte) in bytes.iter().take(count * self.grid.element).enumerate() {
                    ordered[place % count * self.grid.element + place / count] = *byte;
                }
                Ok(ordered)
            }
            Filter::Fletcher32 => {
                let Some(len) = bytes.len().checked_sub(4) else {
                    return damaged("a chunk has no checksum");
                };
                Ok(bytes[..len].to_vec())
            }
        }
    }

    /// Copies the rows of a chunk that lie within the dataset.
    fn place(&mut self, bytes: &[u8], offsets: &[usize]) {
        let (shape, chunk, element) = (self.grid.shape, &self.grid.chunk, self.grid.element);
        let Some((&last, outer)) = chunk.split_last() else {
            self.elements.copy_from_slice(bytes);
            return;
        };
        let row = last.min(shape[outer.len()] - offsets[outer.len()]);
        let rows: usize = outer.iter().product();
        for number in 0..rows {
            let (mut rest, mut inside, mut target, mut stride) =
                (number, true, offsets[outer.len()], shape[outer.len()]);
            for axis in (0..outer.len()).rev() {
                let index = offsets[axis] + rest % outer[axis];
                rest /= outer[axis];
                inside &= index < shape[axis];
                target = target.saturating_add(index.saturating_mul(stride));
                stride = stride.saturating_mul(shape[axis]);
            }
            if inside {
                let from = &bytes[number * last * element..][..row * element];
                self.elements[target * element..][..row * element].copy_from_slice(from);
            }
        }
    }
}
