//! The file that describes the rows: the network, the name of each row, and the checksums.
//!
//! JSON Lines, so that names are written as the rows are, and read one by one: a line is limited, and there are as many
//! as rows, which the size of the other file bounds. Everything in it is untrusted.

use std::ffi::OsString;
use std::io::{BufRead, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The version of the format.
const VERSION: u32 = 1;
/// The longest line, in bytes.
const LONGEST_LINE: u64 = 1 << 16;
/// The longest name, in bytes: twice Linux' longest path. It fits in a line with every byte escaped.
pub(crate) const LONGEST_NAME: usize = 8192;

/// What the vectors of an index were computed with. Vectors are comparable only if all of it is equal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct IndexSource {
    /// The variant of the network.
    pub model: String,
    /// The name of the weights, for people. Not compared: a file may have been moved.
    pub weights: String,
    /// The digest of the weight file.
    pub weights_sha256: String,
    /// Which network in the file, if it holds several.
    pub network: String,
    /// The numeric profile.
    pub profile: String,
    /// How images were resized, cropped and normalised.
    pub preprocessing: String,
    /// Whether the vectors have length 1. Not compared: the angle is the same.
    pub normalized: bool,
    /// The digest of the listing of the images, for an index that is kept in their folder. Not compared.
    #[serde(default)]
    pub listing: String,
}

impl IndexSource {
    /// Sets the variant of the network.
    #[must_use]
    pub fn with_model(mut self, model: impl Into<String>) -> Self {
        self.model = model.into();
        self
    }

    /// Sets the name and the digest of the weights.
    #[must_use]
    pub fn with_weights(mut self, name: impl Into<String>, sha256: impl Into<String>) -> Self {
        (self.weights, self.weights_sha256) = (name.into(), sha256.into());
        self
    }

    /// Sets which network in the file was run.
    #[must_use]
    pub fn with_network(mut self, network: impl Into<String>) -> Self {
        self.network = network.into();
        self
    }

    /// Sets the numeric profile.
    #[must_use]
    pub fn with_profile(mut self, profile: impl Into<String>) -> Self {
        self.profile = profile.into();
        self
    }

    /// Sets the description of the preprocessing.
    #[must_use]
    pub fn with_preprocessing(mut self, preprocessing: impl Into<String>) -> Self {
        self.preprocessing = preprocessing.into();
        self
    }

    /// Sets whether the vectors have length 1.
    #[must_use]
    pub fn with_normalized(mut self, normalized: bool) -> Self {
        self.normalized = normalized;
        self
    }

    /// Sets the digest of the listing of the images.
    #[must_use]
    pub fn with_listing(mut self, listing: impl Into<String>) -> Self {
        self.listing = listing.into();
        self
    }

    /// Describes how the network of an index differs from `wanted`; empty if the vectors are comparable.
    pub(crate) fn differences(&self, wanted: &Self) -> String {
        let entries = [
            ("model", &self.model, &wanted.model),
            ("profile", &self.profile, &wanted.profile),
            ("preprocessing", &self.preprocessing, &wanted.preprocessing),
            ("network in the file", &self.network, &wanted.network),
        ];
        let mut texts: Vec<String> = entries
            .into_iter()
            .filter(|(_, here, there)| here != there)
            .map(|(name, here, there)| format!("{name} {}, not {}", shown(here), shown(there)))
            .collect();
        if self.weights_sha256 != wanted.weights_sha256 {
            let (here, there) = (shown(&self.weights), shown(&wanted.weights));
            let digest: String = self.weights_sha256.chars().take(12).collect();
            texts.push(format!("weights {here} (sha256 {}), not {there}", shown(&digest)));
        }
        texts.join("; ")
    }
}

/// Returns the start of an untrusted text, without control characters.
fn shown(text: &str) -> String {
    let first: String = text.chars().take(120).flat_map(char::escape_debug).collect();
    if text.chars().count() > 120 {
        format!("{first}...")
    } else {
        first
    }
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct First {
    pub(crate) effnet_index: u32,
    #[serde(flatten)]
    pub(crate) source: IndexSource,
}

impl First {
    pub(crate) fn new(source: &IndexSource) -> Self {
        Self {
            effnet_index: VERSION,
            source: source.clone(),
        }
    }
}

/// The state of a file when its features were computed, by which a later change of the file is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    /// The size in bytes.
    pub bytes: u64,
    /// When it was last changed, in nanoseconds since 1970.
    pub modified: u64,
}

/// The line of a row.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Named<'a> {
    #[serde(borrow)]
    pub(crate) input: std::borrow::Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<FileStamp>,
}

/// A line after the rows: the checksum of the next rows.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sum {
    /// CRC-32 of the bytes of up to [`BLOCK`](crate::index::BLOCK) rows.
    pub(crate) crc32: u32,
}

/// Returns the path of the file that describes the rows in `path`.
pub(crate) fn path_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".jsonl");
    name.into()
}

/// Reads lines of limited length.
pub(crate) struct Lines<R> {
    reader: R,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(reader: R) -> Self {
        let line = Vec::new();
        Self { reader, line }
    }

    /// Parses the next line as `expected`.
    ///
    /// # Errors
    /// A description of what is wrong with the line.
    pub(crate) fn next<'a, T: Deserialize<'a>>(&'a mut self, expected: &str) -> Result<T, String> {
        self.line.clear();
        let read = (&mut self.reader)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut self.line)
            .map_err(|error| error.to_string())?;
        if read == 0 {
            return Err(format!("it ends before {expected}"));
        }
        if self.line.last() != Some(&b'\n') {
            return Err(format!("{expected} is cut off"));
        }
        serde_json::from_slice(&self.line).map_err(|error| format!("{expected} cannot be read ({error})"))
    }

    /// Returns whether all lines were read.
    pub(crate) fn is_at_end(&mut self) -> bool {
        self.reader.fill_buf().is_ok_and(<[u8]>::is_empty)
    }
}

/// Checks the version in the first line.
pub(crate) fn check_version(first: &First) -> Result<(), String> {
    if first.effnet_index == VERSION {
        return Ok(());
    }
    let found = first.effnet_index;
    Err(format!("it has version {found}, expected version {VERSION}"))
}
