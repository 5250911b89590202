//! The part of HDF5 (file format specification 3.0) that h5py and Keras write with their default settings: groups
//! with symbol tables or compact links, and contiguous, compact or chunked datasets of numbers.
//!
//! Every address in the file may point anywhere, so groups may form cycles and a node may be reached along many
//! paths: each object that is visited is charged to the budget. Attributes are not read.

mod chunks;
mod dataset;
mod fields;
mod group;
mod header;

use std::ops::Range;
use std::sync::Arc;

use crate::budget::Budget;
use crate::error::ErrorKind;
use crate::mapped::MappedFile;
use crate::quote::quote;
use crate::{Container, DType, Tensor};
use dataset::Dataset;
use fields::Fields;
use header::Header;

const HDF5: Container = Container::Hdf5;
pub(super) const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";
/// Maximum nesting of groups. A model of Keras within others takes three levels each.
const MAX_DEPTH: usize = 24;
/// Maximum length of a path.
const MAX_PATH: usize = 1024;
/// The address of what does not exist.
const UNDEFINED: u64 = u64::MAX;

/// Why a part of the file cannot be read.
#[derive(Debug)]
enum Problem {
    /// It reaches beyond the end of the file.
    Truncated,
    /// It contradicts the specification or itself.
    Damaged(String),
    /// It is valid, but h5py does not write it by default.
    Unsupported(&'static str),
    /// The budget is exceeded, or a tensor cannot be read.
    Kind(ErrorKind),
}

impl From<ErrorKind> for Problem {
    fn from(kind: ErrorKind) -> Self {
        Self::Kind(kind)
    }
}

type Outcome<T> = Result<T, Problem>;

fn damaged<T>(what: impl Into<String>) -> Outcome<T> {
    Err(Problem::Damaged(what.into()))
}

/// A file, or a part of one, that is being read.
struct Hdf5<'a> {
    file: &'a Arc<MappedFile>,
    /// The bytes of the HDF5 file within `file`.
    range: Range<usize>,
    budget: &'a Budget,
}

/// Reads all datasets of numbers, under their paths without a leading slash. Others are passed to `aside` by name.
pub(super) fn read(
    file: &Arc<MappedFile>,
    range: Range<usize>,
    budget: &Budget,
) -> Result<Contents, ErrorKind> {
    let reader = Hdf5 { file, range, budget };
    let mut contents = Contents::default();
    let walked = reader
        .root()
        .and_then(|root| reader.walk(root, "", 0, &mut contents));
    walked.map_err(|problem| match problem {
        Problem::Truncated => HDF5.truncated("an object reaches beyond the end of the file"),
        Problem::Damaged(what) => HDF5.damaged(what),
        Problem::Unsupported(what) => ErrorKind::Foreign {
            what: format!("an HDF5 file with {what}"),
            advice: "save it again with Keras, or with h5py and its default settings",
        },
        Problem::Kind(kind) => kind,
    })?;
    budget.check()?;
    Ok(contents)
}

/// The datasets of a file by path.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) tensors: Vec<(String, Tensor)>,
    /// Datasets of strings and other types.
    pub(super) left_out: Vec<String>,
}

impl Hdf5<'_> {
    fn bytes(&self) -> &[u8] {
        self.file.slice(&self.range)
    }

    /// Fields from an address on.
    fn at(&self, address: u64) -> Outcome<Fields<'_>> {
        Fields::at(self.bytes(), address)
    }

    /// Charges for visiting an object.
    fn visit(&self) -> Outcome<()> {
        if self.budget.step(8) {
            return Ok(());
        }
        self.budget.check()?;
        Ok(())
    }

    /// Returns the address of the root group's header.
    fn root(&self) -> Outcome<u64> {
        let mut fields = self.at(SIGNATURE.len() as u64)?;
        let version = fields.u8()?;
        let sizes = match version {
            0 | 1 => {
                fields.skip(4)?;
                (fields.u8()?, fields.u8()?)
            }
            2 | 3 => (fields.u8()?, fields.u8()?),
            _ => return Err(Problem::Unsupported("a superblock of an unknown version")),
        };
        if sizes != (8, 8) {
            return Err(Problem::Unsupported("addresses of other than 8 bytes"));
        }
        match version {
            0 => fields.skip(9)?,
            1 => fields.skip(13)?,
            _ => fields.skip(1)?,
        }
        if fields.u64()? != 0 {
            return Err(Problem::Unsupported("a base address"));
        }
        // The address of free space or of an extension, and the end of the file.
        fields.skip(8)?;
        if fields.size()? > self.range.len() {
            return Err(Problem::Truncated);
        }
        // Up to version 1: the address of a driver, then the root's symbol, which begins with the place of its name.
        fields.skip(if version < 2 { 16 } else { 0 })?;
        fields.u64()
    }

    /// Collects the datasets below a group.
    fn walk(&self, address: u64, path: &str, depth: usize, contents: &mut Contents) -> Outcome<()> {
        self.visit()?;
        if depth > MAX_DEPTH {
            return damaged(format!("its groups are nested more than {MAX_DEPTH} deep"));
        }
        let header = Header::read(self, address)?;
        if let Some(dataset) = Dataset::of(&header)? {
            return self.add(path, &dataset, contents);
        }
        for (name, address) in group::links(self, &header)? {
            let name = std::str::from_utf8(name).map_err(|_| {
                Problem::Damaged(format!("the name of a member of `{}` is not text", quote(path)))
            })?;
            if path.len() + name.len() >= MAX_PATH {
                return damaged(format!("a path is longer than {MAX_PATH} bytes"));
            }
            let below = if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}/{name}")
            };
            self.budget.read(below.len());
            self.walk(address, &below, depth + 1, contents)?;
        }
        Ok(())
    }

    fn add(&self, path: &str, dataset: &Dataset<'_>, contents: &mut Contents) -> Outcome<()> {
        self.budget.name(path.len())?;
        if let DType::Unsupported(_) = dataset.dtype {
            contents.left_out.push(path.to_owned());
            return Ok(());
        }
        let tensor = dataset.tensor(self).map_err(|problem| match problem {
            Problem::Damaged(what) => Problem::Kind(ErrorKind::BadTensor {
                name: quote(path),
                what,
            }),
            other => other,
        })?;
        contents.tensors.push((path.to_owned(), tensor));
        Ok(())
    }
}
