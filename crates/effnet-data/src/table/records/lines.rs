//! Protects memory from a file that is not a table: a line of it may be the whole file.

use std::io::{self, Read};

/// Maximum length of a line.
const LONGEST_LINE: usize = 1 << 20;

/// Rejects endless lines, which would otherwise be read into memory whole.
pub(super) struct LimitedLines {
    bytes: Box<dyn Read + Send>,
    since_newline: usize,
}

impl LimitedLines {
    pub(super) fn new(bytes: impl Read + Send + 'static) -> Self {
        Self {
            bytes: Box::new(bytes),
            since_newline: 0,
        }
    }
}

impl Read for LimitedLines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(buffer)?;
        self.since_newline = match buffer[..count].iter().rposition(|byte| *byte == b'\n') {
            Some(newline) => count - newline,
            None => self.since_newline + count,
        };
        if self.since_newline > LONGEST_LINE {
            let message = format!("expected a table, found a line of more than {LONGEST_LINE} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(count)
    }
}
