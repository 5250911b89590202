//! The columns and fields of JSON Lines.
//!
//! Objects need not have the same keys: a program may write only those with a value. The columns are therefore the keys of
//! all objects, which takes a pass over the file before the rows are read.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::LIST;
use super::lines::LimitedLines;
use crate::DataError;
use crate::error::cut;

/// Maximum number of different keys: each row has a field for each of them.
const MOST_KEYS: usize = 10_000;

/// The keys of all objects of a file, in alphabetical order.
#[derive(Default)]
pub(super) struct Keys {
    names: Vec<String>,
    columns: HashMap<String, usize>,
}

impl Keys {
    /// Reads the keys in a file from its start.
    pub(super) fn of(path: &Path, file: File) -> Result<Self, DataError> {
        let mut keys = Self::default();
        for (index, text) in BufReader::new(LimitedLines::new(file)).lines().enumerate() {
            let line = index as u64 + 1;
            let text = text.map_err(|source| DataError::Read {
                path: path.to_owned(),
                source,
            })?;
            let text = text.trim_start_matches('\u{feff}');
            if text.trim().is_empty() {
                continue;
            }
            let found: ObjectKeys =
                serde_json::from_str(text).map_err(|_| not_an_object(path, text, line))?;
            found.0.into_iter().for_each(|key| keys.add(key));
            if keys.names.len() > MOST_KEYS {
                return Err(DataError::Csv {
                    path: path.to_owned(),
                    found: format!("more than 10,000 different keys on the lines up to line {line}"),
                });
            }
        }
        keys.sort();
        Ok(keys)
    }

    /// The keys, one per column.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The column of a key.
    pub(super) fn column(&self, key: &str) -> Option<usize> {
        self.columns.get(key).copied()
    }

    fn sort(&mut self) {
        self.names.sort_unstable();
        let columns = self.names.iter().cloned().enumerate();
        self.columns = columns.map(|(column, key)| (key, column)).collect();
    }

    fn add(&mut self, key: String) {
        if !self.columns.contains_key(&key) {
            self.columns.insert(key.clone(), self.names.len());
            self.names.push(key);
        }
    }
}

/// The keys of an object in their order, without its values.
struct ObjectKeys(Vec<String>);

impl<'de> Deserialize<'de> for ObjectKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfMap;

        impl<'de> Visitor<'de> for OfMap {
            type Value = ObjectKeys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ObjectKeys, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, IgnoredAny)) = map.next_entry()? {
                    keys.push(key);
                }
                Ok(ObjectKeys(keys))
            }
        }

        deserializer.deserialize_map(OfMap)
    }
}

/// Refuses a line that is not an object.
pub(super) fn not_an_object(path: &Path, text: &str, line: u64) -> DataError {
    DataError::Csv {
        path: path.to_owned(),
        found: format!("{:?} on line {line}, which is not a JSON object", cut(text)),
    }
}

/// Returns a value as a field.
pub(super) fn text(value: Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        value @ (Value::Number(_) | Value::Bool(_)) => value.to_string(),
        Value::Array(values) => list(values),
        Value::Null | Value::Object(_) => String::new(),
    }
}

/// Returns the elements of a list as one field, which [`LIST`] separates, even if there is only one element.
fn list(values: Vec<Value>) -> String {
    let texts = values.into_iter().map(|value| match value {
        Value::String(text) => text.trim().replace(LIST, " "),
        value => value.to_string(),
    });
    let texts: Vec<String> = texts.collect();
    if texts.is_empty() {
        return String::new();
    }
    texts.join(&LIST.to_string()) + &LIST.to_string()
}
