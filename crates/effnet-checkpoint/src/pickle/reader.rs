//! Reads the arguments of opcodes, with bounds checks.

use super::{PickleError, Value};

pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) position: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn error(&self, what: impl Into<String>) -> PickleError {
        PickleError {
            offset: self.position,
            what: what.into(),
            truncated: false,
        }
    }

    fn truncated(&self, wanted: usize) -> PickleError {
        let have = self.bytes.len().saturating_sub(self.position);
        let what = format!("the next item has {wanted} bytes, but only {have} remain");
        PickleError {
            offset: self.position,
            what,
            truncated: true,
        }
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], PickleError> {
        let end = self
            .position
            .checked_add(len)
            .ok_or_else(|| self.truncated(len))?;
        let slice = self
            .bytes
            .get(self.position..end)
            .ok_or_else(|| self.truncated(len))?;
        self.position = end;
        Ok(slice)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, PickleError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, PickleError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Reads a float of protocol 1 and later, which is big-endian.
    pub(super) fn f64(&mut self) -> Result<f64, PickleError> {
        Ok(f64::from_be_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, PickleError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Reads an 8-byte length; one that exceeds the address space is an error.
    pub(super) fn len64(&mut self) -> Result<usize, PickleError> {
        let len = u64::from_le_bytes(self.array()?);
        usize::try_from(len).map_err(|_| self.truncated(usize::MAX))
    }

    /// Reads a string of `len` bytes, which is not copied.
    pub(super) fn span(&mut self, len: usize) -> Result<Value, PickleError> {
        let start = self.position as u32;
        self.take(len)?;
        Ok(Value::Str {
            start,
            len: len as u32,
        })
    }

    /// Reads the rest of the line; the newline is consumed but not returned.
    pub(super) fn line(&mut self) -> Result<Value, PickleError> {
        let rest = &self.bytes[self.position.min(self.bytes.len())..];
        let Some(len) = rest.iter().position(|&byte| byte == b'\n') else {
            let mut error = self.error("a text argument has no newline");
            error.truncated = true;
            return Err(error);
        };
        let value = self.span(len)?;
        self.position += 1;
        Ok(value)
    }

    pub(super) fn slice(&self, value: Value) -> &'a [u8] {
        match value {
            Value::Str { start, len } => self
                .bytes
                .get(start as usize..start as usize + len as usize)
                .unwrap_or_default(),
            _ => &[],
        }
    }

    /// Reads a two's complement integer of `len` bytes.
    pub(super) fn long(&mut self, len: usize) -> Result<Value, PickleError> {
        let start = self.position as u32;
        let raw = self.take(len)?;
        if len > 8 {
            return Ok(Value::Long {
                start,
                len: len as u32,
            });
        }
        let negative = raw.last().is_some_and(|&byte| byte >= 0x80);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide[..len].copy_from_slice(raw);
        Ok(Value::Int(i64::from_le_bytes(wide)))
    }
}
