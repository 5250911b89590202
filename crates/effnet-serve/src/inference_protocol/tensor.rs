//! The elements of tensors, in JSON and as bytes.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// The elements of a tensor in JSON, row by row; lists may be nested in any way.
#[derive(Debug, Default)]
pub(super) struct Elements {
    pub(super) numbers: Vec<f32>,
    pub(super) texts: Vec<String>,
}

impl<'de> Deserialize<'de> for Elements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut elements = Self::default();
        Flatten(&mut elements).deserialize(deserializer)?;
        Ok(elements)
    }
}

/// Adds an element, or the elements of a list, to those of a tensor.
struct Flatten<'a>(&'a mut Elements);

impl<'de> DeserializeSeed<'de> for Flatten<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Flatten<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers, text, or lists of them")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Flatten(&mut *self.0))?.is_some() {}
        Ok(())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.0.numbers.push(number as f32);
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.visit_f64(number as f64)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.visit_f64(number as f64)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.0.texts.push(text.to_owned());
        Ok(())
    }
}

/// The elements of an output.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Values {
    Numbers(Vec<f32>),
    Texts(Vec<String>),
}

impl Values {
    /// Returns the elements as Triton sends them: little-endian numbers, and texts after their lengths in 4 bytes.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Numbers(numbers) => numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
            Self::Texts(texts) => texts
                .iter()
                .flat_map(|text| [&(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat())
                .collect(),
        }
    }
}

/// Reads 32-bit floats.
pub(super) fn floats(bytes: &[u8]) -> Result<Vec<f32>, Problem> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(Problem::invalid(
            "binary data of FP32: expected 4 bytes per number",
        ));
    }
    Ok(numbers.iter().map(|&number| f32::from_le_bytes(number)).collect())
}

/// Splits elements that each follow their length in 4 bytes. Returns the range of each.
pub(super) fn split(bytes: &[u8]) -> Result<Vec<std::ops::Range<usize>>, Problem> {
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let short = || Problem::invalid("binary data of BYTES: an element is longer than the data");
        let length = bytes[at..].first_chunk::<4>().ok_or_else(short)?;
        let start = at + 4;
        let end = start + u32::from_le_bytes(*length) as usize;
        if end > bytes.len() {
            return Err(short());
        }
        ranges.push(start..end);
        at = end;
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_lists_are_read_row_by_row() {
        let elements: Elements = serde_json::from_str(r#"[[1, -2.5], [[3e2], "a"], []]"#).unwrap();
        assert_eq!(elements.numbers, [1.0, -2.5, 300.0]);
        assert_eq!(elements.texts, ["a"]);
        assert!(serde_json::from_str::<Elements>("[null]").is_err());
        assert!(serde_json::from_str::<Elements>(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn elements_are_split_by_their_lengths() {
        let bytes = Values::Texts(vec!["ab".to_owned(), String::new()]).to_bytes();
        assert_eq!(bytes, b"\x02\0\0\0ab\0\0\0\0");
        assert_eq!(split(&bytes).unwrap(), [4..6, 10..10]);
        for damaged in [&bytes[..5], &bytes[..9], b"\xff\xff\xff\xff"] {
            assert!(split(damaged).is_err(), "{damaged:?}");
        }
        assert_eq!(floats(&1.5f32.to_le_bytes()).unwrap(), [1.5]);
        assert!(floats(&[0; 5]).is_err());
    }
}
