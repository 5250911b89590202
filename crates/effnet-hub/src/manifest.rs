//! The manifest: the list of published weights.
//!
//! A weight file does not say how images must be preprocessed for it, nor which padding it was trained with.
//! The manifest records this for every published file, with the URLs and the digest, so that an id is all a
//! user needs.

mod check;
mod entry;
mod file_name;

use std::fs;
use std::path::Path;

use effnet_architecture::Variant;
use serde::Deserialize;

pub use entry::{Entry, HuggingFaceFile, Published, WeightFile, Wheel};
pub use file_name::{FileName, FileNameError};

use crate::Error;

/// The only version of the file format so far.
const VERSION: u32 = 1;
/// Number of ids that an error about an unknown id suggests.
const NEAREST: usize = 5;

/// All known weights, in the order of the manifest files.
#[derive(Debug, Clone)]
pub struct Manifest {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    entries: Vec<Entry>,
}

impl Manifest {
    /// The embedded manifest, `weights/manifest.json` of this project.
    ///
    /// # Errors
    /// Never, as long as the tests pass: they parse the same manifest.
    pub fn embedded() -> Result<Self, Error> {
        Self::parse(effnet_weights::MANIFEST, "built in")
    }

    /// Parses a manifest from JSON. `origin` names it in errors.
    ///
    /// # Errors
    /// When the text is not a manifest, or an entry is invalid (unknown variant, unsafe file name, ...).
    pub fn parse(json: &str, origin: &str) -> Result<Self, Error> {
        let document: Document = serde_json::from_str(json).map_err(|source| Error::ManifestSyntax {
            origin: origin.to_owned(),
            source,
        })?;
        if document.version != VERSION {
            return Err(Error::ManifestEntry {
                origin: origin.to_owned(),
                id: String::from("(all)"),
                problem: format!("unsupported version {}, expected {VERSION}", document.version),
            });
        }
        for (index, entry) in document.entries.iter().enumerate() {
            check::entry(entry, &document.entries[..index]).map_err(|problem| Error::ManifestEntry {
                origin: origin.to_owned(),
                id: entry.id.clone(),
                problem,
            })?;
        }
        Ok(Self {
            entries: document.entries,
        })
    }

    /// Adds the entries of a user's manifest, replacing entries with the same id.
    ///
    /// # Errors
    /// When the file cannot be read or is not a manifest, or an entry is invalid.
    pub fn merge_file(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let json = fs::read_to_string(path).map_err(|source| Error::Io {
            action: "read the manifest",
            path: path.to_owned(),
            source,
        })?;
        self.merge(Self::parse(&json, &format!("`{}`", path.display()))?);
        Ok(())
    }

    /// Adds the entries of `other`, replacing entries with the same id.
    pub fn merge(&mut self, other: Self) {
        for entry in other.entries {
            match self.entries.iter_mut().find(|known| known.id == entry.id) {
                Some(known) => *known = entry,
                None => self.entries.push(entry),
            }
        }
    }

    /// All entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry with this id, or the default entry of a variant: `b3.advprop`, `b3`, `efficientnet-b3`.
    ///
    /// # Errors
    /// [`Error::UnknownId`] with the nearest ids.
    pub fn get(&self, id: &str) -> Result<&Entry, Error> {
        let wanted = match id.parse::<Variant>() {
            Ok(variant) => default_id(variant),
            Err(_) => id.strip_prefix("efficientnet-").unwrap_or(id).to_owned(),
        };
        self.entries
            .iter()
            .find(|entry| entry.id == wanted)
            .ok_or_else(|| Error::UnknownId {
                id: id.to_owned(),
                nearest: self.nearest(&wanted),
            })
    }

    /// All entries of a variant.
    pub fn of_variant(&self, variant: Variant) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.variant == variant)
    }

    /// The entry that lists a file under this name, current or former.
    pub fn entry_of_file(&self, name: &str) -> Option<(&Entry, &WeightFile)> {
        self.entries.iter().find_map(|entry| {
            let file = entry
                .files
                .iter()
                .find(|file| file.names().any(|known| known.as_str() == name))?;
            Some((entry, file))
        })
    }

    fn nearest(&self, id: &str) -> Vec<String> {
        let score = |entry: &Entry| {
            let of_id = strsim::jaro_winkler(id, &entry.id);
            // A mistyped variant, `b33`, is far from every full id, so compare it with variants.
            let of_variant = if id.contains('.') {
                0.0
            } else {
                strsim::jaro_winkler(id, entry.variant.name())
            };
            of_id.max(of_variant)
        };
        let mut scored: Vec<_> = self
            .entries
            .iter()
            .map(|entry| (score(entry), entry.id.as_str()))
            .filter(|(score, _)| *score > 0.7)
            .collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        scored
            .into_iter()
            .take(NEAREST)
            .map(|(_, id)| id.to_owned())
            .collect()
    }
}

/// The default id of a variant: the original implementation's weights, otherwise those that timm loads by default.
fn default_id(variant: Variant) -> String {
    let tag = match variant {
        Variant::B8 => "advprop",
        Variant::L2 => "tf-ns_jft_in1k",
        Variant::Lite3 | Variant::Lite4 | Variant::V2B0 | Variant::V2B1 | Variant::V2B2 => "tf-in1k",
        Variant::V2B3 | Variant::V2S | Variant::V2M | Variant::V2L | Variant::V2Xl => "tf-in21k_ft_in1k",
        Variant::V2RwT | Variant::V2RwS => "timm-ra2_in1k",
        Variant::V2RwM => "timm-agc_in1k",
        _ => "imagenet",
    };
    format!("{variant}.{tag}")
}
