//! Reads rows of an index and checks their checksums.

use crc32fast::Hasher;
use effnet_checkpoint::read_exact_at;

use crate::index::BLOCK;
use crate::{FeatureIndex, IndexError};

impl FeatureIndex {
    /// Fills `rows` with the rows from row `first` on, and adds their bytes to a checksum.
    pub(crate) fn read(&self, first: usize, rows: &mut [f32], sum: &mut Hasher) -> Result<(), IndexError> {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(rows);
        let place = self.start + 4 * (first * self.width) as u64;
        read_exact_at(&self.file, bytes, place).map_err(|source| IndexError::Read {
            path: self.path.clone(),
            source,
        })?;
        sum.update(bytes);
        if cfg!(target_endian = "big") {
            for value in rows {
                *value = f32::from_bits(value.to_bits().swap_bytes());
            }
        }
        Ok(())
    }

    /// Returns the rows of a block, which share a checksum.
    pub(crate) fn block(&self, block: usize) -> std::ops::Range<usize> {
        block * BLOCK..(block * BLOCK + BLOCK).min(self.rows)
    }

    /// Compares the checksum of a block that was read completely.
    pub(crate) fn check_sum(&self, block: usize, sum: Hasher) -> Result<(), IndexError> {
        if sum.finalize() == self.sums[block] {
            return Ok(());
        }
        let rows = self.block(block);
        Err(self.damaged(format!(
            "the checksum of rows {} to {} does not match",
            rows.start,
            rows.end - 1
        )))
    }

    /// Turns the index into a reader of single rows.
    pub fn into_row_reader(self) -> RowReader {
        RowReader {
            index: self,
            block: None,
            rows: Vec::new(),
        }
    }
}

/// Reads single rows of an index, fastest in order: neighbouring rows are read together, and none is returned before its
/// checksum has been compared.
#[derive(Debug)]
pub struct RowReader {
    index: FeatureIndex,
    /// The block in `rows`.
    block: Option<usize>,
    rows: Vec<f32>,
}

impl RowReader {
    /// Returns the index that is read.
    pub fn index(&self) -> &FeatureIndex {
        &self.index
    }

    /// Returns the features of a row.
    ///
    /// # Errors
    /// [`IndexError::Read`], and [`IndexError::Damaged`] if the rows differ from those that were written.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&mut self, row: usize) -> Result<&[f32], IndexError> {
        let Self { index, block, rows } = self;
        assert!(row < index.rows, "there is no row {row}");
        let (wanted, width) = (row / BLOCK, index.width);
        let place = index.block(wanted);
        if *block != Some(wanted) {
            *block = None;
            rows.resize(place.len() * width, 0.0);
            let mut sum = Hasher::new();
            index.read(place.start, rows, &mut sum)?;
            index.check_sum(wanted, sum)?;
            *block = Some(wanted);
        }
        Ok(&rows[(row - place.start) * width..][..width])
    }
}
