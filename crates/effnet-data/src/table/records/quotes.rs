//! Drops spaces before fields. People write `1.jpg, "a,b"`, but a quote after a space quotes nothing for the CSV parser.

use std::io::{self, Read};

/// Text of a CSV file without the spaces at the start of its fields.
pub(super) struct WithoutSpaces<R> {
    text: R,
    delimiter: u8,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    Field,
    Quoted,
    /// After a quote in a quoted field, which ends it unless another one follows.
    Unquoted,
}

impl<R: Read> WithoutSpaces<R> {
    pub(super) fn new(text: R, delimiter: u8) -> Self {
        Self {
            text,
            delimiter,
            place: Place::Start,
        }
    }

    /// Returns whether the next byte is kept.
    fn keeps(&mut self, byte: u8) -> bool {
        self.place = match (self.place, byte) {
            (Place::Start, b' ') => return false,
            (Place::Quoted, b'"') => Place::Unquoted,
            (Place::Start | Place::Unquoted, b'"') | (Place::Quoted, _) => Place::Quoted,
            (_, b'\r' | b'\n') => Place::Start,
            (_, byte) if byte == self.delimiter => Place::Start,
            _ => Place::Field,
        };
        true
    }
}

impl<R: Read> Read for WithoutSpaces<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.text.read(buffer)?;
            let mut kept = 0;
            for index in 0..count {
                if self.keeps(buffer[index]) {
                    buffer[kept] = buffer[index];
                    kept += 1;
                }
            }
            // Without bytes, the text would seem to end.
            if kept > 0 || count == 0 {
                return Ok(kept);
            }
        }
    }
}
