//! Datasets: element type, shape, and where the elements are.

use super::chunks::{self, Filter};
use super::fields::Fields;
use super::header::{Header, kind};
use super::{Hdf5, Outcome, Problem, UNDEFINED, damaged};
use crate::dtype::Unsupported;
use crate::storage::Storage;
use crate::tensor::{byte_count, contiguous_strides};
use crate::{DType, Tensor};

/// Maximum number of dimensions, as in HDF5 itself.
const MAX_DIMENSIONS: u8 = 32;

/// A dataset as its header describes it.
pub(super) struct Dataset<'a> {
    pub(super) dtype: DType,
    big_endian: bool,
    shape: Vec<usize>,
    layout: Fields<'a>,
    filters: Vec<Filter>,
}

impl<'a> Dataset<'a> {
    /// Returns `None` for a group.
    pub(super) fn of(header: &Header<'a>) -> Outcome<Option<Self>> {
        let Some(layout) = header.get(kind::LAYOUT)? else {
            return Ok(None);
        };
        let (Some(mut space), Some(mut datatype)) =
            (header.get(kind::DATASPACE)?, header.get(kind::DATATYPE)?)
        else {
            return damaged("a dataset has no type or no shape");
        };
        if header.get(kind::EXTERNAL_FILES)?.is_some() {
            return Err(Problem::Unsupported("data in other files"));
        }
        let (dtype, big_endian) = element(&mut datatype)?;
        let filters = match header.get(kind::FILTERS)? {
            Some(mut fields) => Filter::list(&mut fields)?,
            None => Vec::new(),
        };
        Ok(Some(Self {
            dtype,
            big_endian,
            shape: shape(&mut space)?,
            layout,
            filters,
        }))
    }

    pub(super) fn tensor(&self, reader: &Hdf5<'_>) -> Outcome<Tensor> {
        let nonzero: Vec<usize> = self.shape.iter().map(|&size| size.max(1)).collect();
        let too_large =
            || Problem::Damaged(format!("its shape {:?} is too large for any memory", self.shape));
        byte_count(self.dtype, &nonzero).ok_or_else(too_large)?;
        let nbytes = byte_count(self.dtype, &self.shape).ok_or_else(too_large)?;
        let swap = self.big_endian && self.dtype.size() > 1;
        let mut layout = self.layout.clone();
        let (version, class) = (layout.u8()?, layout.u8()?);
        let contiguous = match (version, class) {
            (3 | 4, 0) => {
                let len = usize::from(layout.u16()?);
                reader.budget.hold(len);
                Some(Storage::owned(layout.take(len)?.to_vec()))
            }
            (3 | 4, 1) => {
                let (address, len) = (layout.u64()?, layout.size()?);
                (address != UNDEFINED)
                    .then(|| stored(reader, address, len))
                    .transpose()?
            }
            (3, 2) => None,
            _ => {
                return Err(Problem::Unsupported(
                    "a layout that h5py writes only with libver=\"latest\"",
                ));
            }
        };
        let is_copied = contiguous.is_none() || swap;
        reader
            .budget
            .tensor(self.shape.len(), nbytes, if is_copied { nbytes } else { 0 })?;
        let storage = match contiguous {
            Some(storage) => storage,
            None if class == 2 => {
                let grid = chunks::Grid::read(&mut layout, &self.shape, self.dtype.size())?;
                Storage::owned(grid.assemble(reader, &self.filters, nbytes)?)
            }
            None if nbytes == 0 => Storage::owned(Vec::new()),
            None => return damaged("it was never written"),
        };
        if !self.filters.is_empty() && class != 2 {
            return damaged("it is compressed, but not in chunks");
        }
        let found = storage.len();
        let storage = storage
            .part(0, nbytes)
            .ok_or_else(|| Problem::Damaged(format!("its shape needs {nbytes} bytes, found {found}")))?;
        let strides = contiguous_strides(&self.shape);
        Ok(Tensor::view(
            self.dtype,
            self.shape.clone(),
            strides,
            storage,
            swap,
        ))
    }
}

/// Returns the bytes of a contiguous dataset.
fn stored(reader: &Hdf5<'_>, address: u64, len: usize) -> Outcome<Storage> {
    let start = usize::try_from(address).map_err(|_| Problem::Truncated)?;
    let end = start.checked_add(len).ok_or(Problem::Truncated)?;
    if end > reader.range.len() {
        return Err(Problem::Truncated);
    }
    let base = reader.range.start;
    Ok(Storage::mapped(reader.file, base + start..base + end))
}

/// Reads a dataspace message.
fn shape(fields: &mut Fields<'_>) -> Outcome<Vec<usize>> {
    let (version, rank) = (fields.u8()?, fields.u8()?);
    if rank > MAX_DIMENSIONS {
        return damaged(format!(
            "a dataset has {rank} dimensions, expected at most {MAX_DIMENSIONS}"
        ));
    }
    match version {
        1 => fields.skip(6)?,
        2 => fields.skip(2)?,
        _ => return Err(Problem::Unsupported("a dataspace of an unknown version")),
    }
    (0..rank).map(|_| fields.size()).collect()
}

/// Reads a datatype message; returns the element type and whether it is big-endian.
fn element(fields: &mut Fields<'_>) -> Outcome<(DType, bool)> {
    let other = (DType::Unsupported(Unsupported::Other), false);
    let class = fields.u8()? & 0x0f;
    let bits = fields.u8()?;
    fields.skip(2)?;
    let size = fields.u32()?;
    let big_endian = bits & 1 != 0;
    let dtype = match class {
        0 => match (size, bits & 0x08 != 0) {
            (1, true) => DType::I8,
            (1, false) => DType::U8,
            (2, true) => DType::I16,
            (2, false) => DType::U16,
            (4, true) => DType::I32,
            (4, false) => DType::U32,
            (8, true) => DType::I64,
            (8, false) => DType::U64,
            _ => return Ok(other),
        },
        1 => {
            fields.skip(4)?;
            let (_, exponent, _, mantissa) = (fields.u8()?, fields.u8()?, fields.u8()?, fields.u8()?);
            match (size, exponent, mantissa) {
                (2, 5, 10) => DType::F16,
                (2, 8, 7) => DType::BF16,
                (4, 8, 23) => DType::F32,
                (8, 11, 52) => DType::F64,
                _ => return Ok(other),
            }
        }
        _ => return Ok(other),
    };
    Ok((dtype, big_endian))
}
