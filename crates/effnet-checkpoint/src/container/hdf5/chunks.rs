//! Chunked datasets, which `compression="gzip"` and `chunks=True` of h5py write.

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

    /// Returns all elements in row-major order. Chunks that were never written are zeros. The caller has charged for
    /// `nbytes`.
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
        let mut elements = vec![0; nbytes];
        if self.tree != UNDEFINED && nbytes > 0 {
            let mut job = Assembly {
                grid: self,
                reader,
                filters,
                chunk_len,
                elements: &mut elements,
            };
            job.node(self.tree, None)?;
        }
        Ok(elements)
    }
}

struct Assembly<'a, 'b> {
    grid: &'a Grid<'a>,
    reader: &'a Hdf5<'b>,
    filters: &'a [Filter],
    chunk_len: usize,
    elements: &'a mut [u8],
}

impl Assembly<'_, '_> {
    fn node(&mut self, address: u64, level: Option<u8>) -> Outcome<()> {
        self.reader.visit()?;
        let mut fields = self.reader.at(address)?;
        fields.signature(b"TREE")?;
        let (of, found) = (fields.u8()?, fields.u8()?);
        if of != 1 || found > MAX_LEVEL || level.is_some_and(|level| found != level) {
            return damaged("a node of its chunks' B-tree has an invalid kind or level");
        }
        let count = fields.u16()?;
        fields.skip(16)?;
        for _ in 0..count {
            let (len, skipped) = (fields.u32()? as usize, fields.u32()?);
            let mut offsets = Vec::with_capacity(self.grid.shape.len());
            for _ in self.grid.shape {
                offsets.push(fields.size()?);
            }
            fields.skip(8)?;
            let child = fields.u64()?;
            match found.checked_sub(1) {
                Some(below) => self.node(child, Some(below))?,
                None => self.chunk(child, len, skipped, &offsets)?,
            }
        }
        Ok(())
    }

    fn chunk(&mut self, address: u64, len: usize, skipped: u32, offsets: &[usize]) -> Outcome<()> {
        self.reader.visit()?;
        let stored = self.reader.at(address)?.take(len)?;
        // What a chunk decompresses to is charged each time: a node may list the same chunk many times.
        self.reader.budget.step(self.chunk_len / 8);
        self.reader.budget.check()?;
        let mut bytes = stored.to_vec();
        for (place, filter) in self.filters.iter().enumerate().rev() {
            if skipped & (1 << place) == 0 {
                bytes = self.undo(*filter, bytes)?;
            }
        }
        if bytes.len() != self.chunk_len {
            return damaged(format!(
                "a chunk has {} bytes, expected {}",
                bytes.len(),
                self.chunk_len
            ));
        }
        self.place(&bytes, offsets)
    }

    fn undo(&self, filter: Filter, mut bytes: Vec<u8>) -> Outcome<Vec<u8>> {
        match filter {
            Filter::Deflate => {
                let most = self.chunk_len as u64 + 5;
                let mut unpacked =
                    Vec::with_capacity(self.chunk_len.min(bytes.len().saturating_mul(1032)) + 5);
                ZlibDecoder::new(&*bytes)
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
                bytes.truncate(len);
                Ok(bytes)
            }
        }
    }

    /// Copies the rows of a chunk that lie within the dataset.
    fn place(&mut self, bytes: &[u8], offsets: &[usize]) -> Outcome<()> {
        let (shape, chunk, element) = (self.grid.shape, &self.grid.chunk, self.grid.element);
        if offsets.iter().zip(shape).any(|(offset, size)| offset >= size) {
            return damaged("a chunk lies outside the dataset");
        }
        let Some((&last, outer)) = chunk.split_last() else {
            self.elements.copy_from_slice(bytes);
            return Ok(());
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
        Ok(())
    }
}
