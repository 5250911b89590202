//! The list of published weights.

mod check;
mod entry;
mod file_name;

use std::fs;
use std::path::Path;

use effnet_architecture::Variant;
use serde::Deserialize;

pub use entry::{Entry, HuggingFaceFile, Published, WeightFile};
pub use file_name::{FileName, FileNameError};

use crate::Error;

/// The only version of the file format so far.
const VERSION: u32 = 1;
/// How many names an error about an unknown id lists.
const NEAREST: usize = 5;

/// Every known set of weights, in the order of the files.
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
    /// The published weights, `weights/manifest.json` of this project.
    ///
    /// # Errors
    /// Never in a build whose tests pass: they read the same text.
    pub fn embedded() -> Result<Self, Error> {
        Self::parse(effnet_weights::MANIFEST, "built in")
    }

    /// Reads a manifest from JSON. `origin` names it in errors.
    ///
    /// # Errors
    /// When the text is no manifest or an entry breaks a rule (unknown variant, unsafe file name, ...).
    pub fn parse(json: &str, origin: &str) -> Result<Self, Error> {
        let document: Document = serde_json::from_str(json).map_err(|source| Error::ManifestSyntax {
            origin: origin.to_owned(),
            source,
        })?;
        if document.version != VERSION {
            return Err(Error::ManifestEntry {
                origin: origin.to_owned(),
                id: String::from("(all)"),
                problem: format!("version {} is not known, expected {VERSION}", document.version),
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

    /// Adds the entries of a user's own manifest. One with a known id replaces it.
    ///
    /// # Errors
    /// When the file cannot be read, is no manifest, or an entry breaks a rule.
    pub fn merge_file(&mut self, path: &Path) -> Result<(), Error> {
        let json = fs::read_to_string(path).map_err(|source| Error::Io {
            action: "read the manifest",
            path: path.to_owned(),
            source,
        })?;
        self.merge(Self::parse(&json, &format!("`{}`", path.display()))?);
        Ok(())
    }

    /// Adds the entries of `other`. One with a known id replaces it.
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

    /// The entry with this id, or the default one of a variant: `b3.advprop`, `b3`, `efficientnet-b3`.
    ///
    /// # Errors
    /// [`Error::UnknownId`] with the nearest ids.
    pub fn get(&self, id: &str) -> Result<&Entry, Error> {
        let wanted = id.strip_prefix("efficientnet-").unwrap_or(id);
        let variant = Variant::ALL.into_iter().find(|variant| variant.name() == wanted);
        let wanted = variant.map_or_else(|| wanted.to_owned(), default_id);
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

    /// The entry that a file name, current or former, belongs to.
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
            // Half an id, `b33`, is far from every whole one.
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

/// The id that a variant alone stands for. B8 and L2 have no AutoAugment file of the original implementation.
fn default_id(variant: Variant) -> String {
    let tag = match variant {
        Variant::B8 => "advprop",
        Variant::L2 => "tf-ns_jft_in1k",
        _ => "imagenet",
    };
    format!("{variant}.{tag}")
}
