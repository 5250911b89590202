//! Drops spaces before fields. People write `1.jpg, "a,b"`, but a quote after a space quotes nothing for the CSV parser.

use std::io::{self, BufRead, BufReader, Read};

/// Text of a CSV file without the spaces at the start of its fields.
pub(super) struct WithoutSpaces<R> {
    text: BufReader<R>,
    delimiter: u8,
    place: Place,
    /// What is read next, from the line that was read last.
    line: Vec<u8>,
    /// How much of it was read.
    read: usize,
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
    /// Reads `text`, whose lines must be of limited length.
    pub(super) fn new(text: R, delimiter: u8) -> Self {
        Self {
            text: BufReader::new(text),
            delimiter,
            place: Place::Start,
            line: Vec::new(),
            read: 0,
        }
    }

    /// Returns the line without spaces.
    fn cleaned(&mut self, line: &[u8]) -> Vec<u8> {
        let mut kept = Vec::with_capacity(line.len());
        let mut rest = line;
        while let [byte, after @ ..] = rest {
            if (self.place, *byte) == (Place::Start, b' ') {
                let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
                let (spaces, field) = rest.split_at(spaces);
                if field.first() == Some(&b'"') && !self.is_closed(field) {
                    // A stray quote, as in `5" wide`, would quote the rows that follow.
                    kept.extend(spaces);
                    self.place = Place::Field;
                }
                rest = field;
                continue;
            }
            self.pass(*byte);
            kept.push(*byte);
            rest = after;
        }
        kept
    }

    /// Returns whether a field that begins with a quote ends with one before the end of its line.
    fn is_closed(&self, field: &[u8]) -> bool {
        let mut bytes = field.iter().skip(1).peekable();
        while let Some(byte) = bytes.next() {
            if *byte == b'"' && bytes.next_if_eq(&&b'"').is_none() {
                return bytes
                    .peek()
                    .is_none_or(|next| **next == self.delimiter || matches!(next, b'\r' | b'\n'));
            }
        }
        false
    }

    fn pass(&mut self, byte: u8) {
        self.place = match (self.place, byte) {
            (Place::Quoted, b'"') => Place::Unquoted,
            (Place::Start | Place::Unquoted, b'"') | (Place::Quoted, _) => Place::Quoted,
            (_, b'\r' | b'\n') => Place::Start,
            (_, byte) if byte == self.delimiter => Place::Start,
            _ => Place::Field,
        };
    }
}

impl<R: Read> Read for WithoutSpaces<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // A line of spaces has nothing left, but is not the end of the text.
        while self.read == self.line.len() {
            let mut line = Vec::new();
            if self.text.read_until(b'\n', &mut line)? == 0 {
                return Ok(0);
            }
            (self.line, self.read) = (self.cleaned(&line), 0);
        }
        let count = (&self.line[self.read..]).read(buffer)?;
        self.read += count;
        Ok(count)
    }
}
