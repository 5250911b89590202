//! Little-endian fields of an HDF5 file.

use super::{Outcome, Problem};

/// A position in a range of bytes, from which fields are read.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// # Errors
    /// [`Problem::Truncated`] for an address beyond the end.
    pub(super) fn at(bytes: &'a [u8], address: u64) -> Outcome<Self> {
        let start = usize::try_from(address).map_err(|_| Problem::Truncated)?;
        let rest = bytes.get(start..).ok_or(Problem::Truncated)?;
        Ok(Self { rest })
    }

    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn take(&mut self, len: usize) -> Outcome<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Problem::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn skip(&mut self, len: usize) -> Outcome<()> {
        self.take(len).map(|_| ())
    }

    /// Reads a signature of four letters.
    pub(super) fn signature(&mut self, expected: [u8; 4]) -> Outcome<()> {
        let found = self.take(4)?;
        if found == expected {
            return Ok(());
        }
        let expected = String::from_utf8_lossy(&expected);
        Err(Problem::Damaged(format!(
            "the signature `{expected}` is missing where it should be"
        )))
    }

    fn array<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Problem::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Outcome<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> Outcome<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Outcome<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Outcome<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Reads a number of 1, 2, 4 or 8 bytes.
    pub(super) fn number(&mut self, bytes: u32) -> Outcome<u64> {
        match bytes {
            1 => self.u8().map(u64::from),
            2 => self.u16().map(u64::from),
            4 => self.u32().map(u64::from),
            _ => self.u64(),
        }
    }

    /// Reads a size that memory must be able to hold.
    pub(super) fn size(&mut self) -> Outcome<usize> {
        usize::try_from(self.u64()?).map_err(|_| Problem::Truncated)
    }
}
