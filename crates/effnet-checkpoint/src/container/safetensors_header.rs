//! The JSON header of a safetensors file, read within a budget.
//!
//! The reader of the `safetensors` library keeps names and shapes of any number and length, in maps and in
//! vectors; a header with a hundred bytes per tensor then takes a thousand in memory. This reader charges
//! each entry as it is read.

use std::collections::BTreeMap;
use std::fmt;

use safetensors::tensor::Dtype;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::budget::Budget;
use crate::quote::quote;

/// The maximum number of dimensions, as in PyTorch itself.
const MAX_DIMENSIONS: usize = 64;

/// What the header says about a tensor.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// Offsets of the first byte and of the byte after the last, counted from the end of the header.
    pub(super) offsets: (usize, usize),
}

/// The tensors in the order of the header, and the entries of `__metadata__`.
#[derive(Debug, Default)]
pub(super) struct Header {
    pub(super) tensors: Vec<Described>,
    pub(super) metadata: BTreeMap<String, String>,
}

impl Header {
    /// # Errors
    /// Describes what is wrong with the JSON text.
    pub(super) fn parse(text: &[u8], budget: &Budget) -> Result<Header, String> {
        let mut json = serde_json::Deserializer::from_slice(text);
        let header = HeaderSeed(budget).deserialize(&mut json);
        header
            .and_then(|header| json.end().map(|()| header))
            .map_err(|error| quote(&error))
    }
}

struct HeaderSeed<'a>(&'a Budget);

impl<'de> DeserializeSeed<'de> for HeaderSeed<'_> {
    type Value = Header;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Header, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HeaderSeed<'_> {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map from names to tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        while let Some(name) = map.next_key_seed(Text(self.0))? {
            if name == "__metadata__" {
                header.metadata = map.next_value_seed(Metadata(self.0))?;
            } else {
                header
                    .tensors
                    .push(map.next_value_seed(Tensor { budget: self.0, name })?);
            }
        }
        Ok(header)
    }
}

/// A string, charged as a name.
struct Text<'a>(&'a Budget);

impl<'de> DeserializeSeed<'de> for Text<'_> {
    type Value = String;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Text<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        self.0.name(text.len()).map_err(E::custom)?;
        Ok(text.to_owned())
    }
}

/// The entries of `__metadata__`.
struct Metadata<'a>(&'a Budget);

impl<'de> DeserializeSeed<'de> for Metadata<'_> {
    type Value = BTreeMap<String, String>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Metadata<'_> {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map from strings to strings")
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(BTreeMap::new())
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        self.visit_none()
    }

    fn visit_some<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some(key) = map.next_key_seed(Text(self.0))? {
            entries.insert(key, map.next_value_seed(Text(self.0))?);
        }
        Ok(entries)
    }
}

/// The description of the tensor with this name.
struct Tensor<'a> {
    budget: &'a Budget,
    name: String,
}

impl<'de> DeserializeSeed<'de> for Tensor<'_> {
    type Value = Described;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Described, D::Error> {
        deserializer.deserialize_map(self)
    }
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Dtype,
    Shape,
    DataOffsets,
    #[serde(other)]
    Unknown,
}

impl<'de> Visitor<'de> for Tensor<'_> {
    type Value = Described;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tensor with dtype, shape and data_offsets")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Described, A::Error> {
        let (mut dtype, mut shape, mut offsets) = (None, None, None);
        while let Some(field) = map.next_key()? {
            match field {
                Field::Dtype => dtype = Some(map.next_value()?),
                Field::Shape => shape = Some(map.next_value_seed(Sizes)?),
                Field::DataOffsets => offsets = Some(map.next_value()?),
                Field::Unknown => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let shape = shape.ok_or_else(|| A::Error::missing_field("shape"))?;
        // An unsupported tensor keeps its name.
        self.budget.name(self.name.len()).map_err(A::Error::custom)?;
        self.budget.tensor(shape.len(), 0, 0).map_err(A::Error::custom)?;
        Ok(Described {
            name: self.name,
            dtype: dtype.ok_or_else(|| A::Error::missing_field("dtype"))?,
            shape,
            offsets: offsets.ok_or_else(|| A::Error::missing_field("data_offsets"))?,
        })
    }
}

/// A shape with a limited number of dimensions.
struct Sizes;

impl<'de> DeserializeSeed<'de> for Sizes {
    type Value = Vec<usize>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Vec<usize>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Sizes {
    type Value = Vec<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of sizes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<usize>, A::Error> {
        let mut sizes = Vec::new();
        while let Some(size) = list.next_element()? {
            if sizes.len() == MAX_DIMENSIONS {
                return Err(A::Error::custom(format!(
                    "a shape has more than {MAX_DIMENSIONS} dimensions"
                )));
            }
            sizes.push(size);
        }
        Ok(sizes)
    }
}
