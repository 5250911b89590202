//! Reads the rows of a table: CSV as people and programs write it, and JSON Lines.
//!
//! Rows are read one at a time, so a file that lists nothing useful is rejected before much of it is in
//! memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use csv::StringRecord;
use serde_json::{Map, Value};

use crate::DataError;
use delimiter::{delimiter, reader, without_preamble};
use json::Keys;
use lines::LimitedLines;
use quotes::WithoutSpaces;

mod delimiter;
mod json;
mod lines;
mod quotes;

/// Length of the start of the file, which is searched for the delimiter.
const START: u64 = 1 << 16;
/// Number of rows from which the delimiter and the columns are determined.
pub(super) const SAMPLE: usize = 200;
/// Separates the elements of a list in a field, which no text contains.
pub(super) const LIST: char = '\u{1f}';

/// The rows of a table in order.
pub(super) struct Records {
    path: PathBuf,
    kind: Kind,
}

enum Kind {
    Csv {
        delimiter: u8,
        reader: Box<csv::Reader<WithoutSpaces<LimitedLines>>>,
        record: StringRecord,
    },
    Json {
        lines: io::Lines<BufReader<LimitedLines>>,
        line: u64,
        keys: Keys,
    },
}

/// A row and its line number.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) fields: Vec<String>,
}

impl Row {
    /// Returns a field; empty if the row does not have this column.
    pub(super) fn field(&self, column: usize) -> &str {
        self.fields.get(column).map_or("", String::as_str)
    }
}

impl Records {
    /// Opens the file as JSON Lines if its name ends in `.jsonl`, and as CSV otherwise.
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        let failed = |source| DataError::Read {
            path: path.to_owned(),
            source,
        };
        let mut start = Vec::new();
        let mut file = File::open(path).map_err(failed)?;
        let is_json = path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("jsonl"));
        (&mut file).take(START).read_to_end(&mut start).map_err(failed)?;
        if start.starts_with(&[0xFF, 0xFE]) || start.starts_with(&[0xFE, 0xFF]) {
            return Err(DataError::Csv {
                path: path.to_owned(),
                found: "text in UTF-16; save it as UTF-8".to_owned(),
            });
        }
        let keys = if is_json {
            file.rewind().map_err(failed)?;
            let keys = Keys::of(path, file.try_clone().map_err(failed)?)?;
            file.seek(SeekFrom::Start(start.len() as u64)).map_err(failed)?;
            keys
        } else {
            Keys::default()
        };
        let rest = LimitedLines::new(io::Cursor::new(without_preamble(&start).to_vec()).chain(file));
        let kind = if is_json {
            Kind::Json {
                lines: BufReader::new(rest).lines(),
                line: 0,
                keys,
            }
        } else {
            let delimiter = delimiter(&start);
            Kind::Csv {
                delimiter,
                reader: Box::new(reader(rest, delimiter)),
                record: StringRecord::new(),
            }
        };
        Ok(Self {
            path: path.to_owned(),
            kind,
        })
    }

    /// Returns the names of the columns, if the format always has them.
    pub(super) fn names(&self) -> Option<&[String]> {
        match &self.kind {
            Kind::Csv { .. } => None,
            Kind::Json { keys, .. } => Some(keys.names()),
        }
    }

    /// Returns whether a comma in a field may be a decimal one: it is not what separates the fields.
    pub(super) fn may_have_decimal_commas(&self) -> bool {
        matches!(self.kind, Kind::Csv { delimiter, .. } if delimiter != b',')
    }

    /// Returns the next row that is not blank; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Row>, DataError> {
        if let Kind::Csv { reader, record, .. } = &mut self.kind {
            while reader
                .read_record(record)
                .map_err(|error| read_error(&self.path, error))?
            {
                if record.iter().any(|field| !field.is_empty()) {
                    return Ok(Some(Row {
                        line: record.position().map_or(0, csv::Position::line),
                        fields: record.iter().map(str::to_owned).collect(),
                    }));
                }
            }
            return Ok(None);
        }
        self.next_object()
    }

    /// Returns the next object of JSON Lines as a row, with an empty field for each key that it does not have.
    fn next_object(&mut self) -> Result<Option<Row>, DataError> {
        let Kind::Json { lines, line, keys } = &mut self.kind else {
            return Ok(None);
        };
        for text in lines {
            *line += 1;
            let text = text.map_err(|source| DataError::Read {
                path: self.path.clone(),
                source,
            })?;
            if text.trim().is_empty() {
                continue;
            }
            let object: Map<String, Value> =
                serde_json::from_str(&text).map_err(|_| json::not_an_object(&self.path, &text, *line))?;
            let mut fields = vec![String::new(); keys.names().len()];
            for (key, value) in object {
                if let Some(field) = keys.column(&key).and_then(|column| fields.get_mut(column)) {
                    *field = json::text(value);
                }
            }
            return Ok(Some(Row { line: *line, fields }));
        }
        Ok(None)
    }
}

fn read_error(path: &Path, error: csv::Error) -> DataError {
    let found = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(source) => DataError::Read {
            path: path.to_owned(),
            source,
        },
        _ => DataError::Csv {
            path: path.to_owned(),
            found,
        },
    }
}
