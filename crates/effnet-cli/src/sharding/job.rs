//! Decides whether two invocations of the program belong to the same job.
//!
//! Parts from different weights or flags must never be merged into one output.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Everything that the bytes of the output depend on, by name. Processes work on the same job if they agree on every
/// entry. The number of processes, the number of threads and the batch size are not included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Job(Map<String, Value>);

impl Job {
    /// Creates a job for this subcommand and this version of the program.
    pub(crate) fn new(command: &str) -> Self {
        let mut job = Self(Map::new());
        job.add("command", command);
        job.add("effnet", env!("CARGO_PKG_VERSION"));
        job
    }

    /// Adds a value that the results depend on.
    pub(crate) fn add(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Returns the names of the entries that differ from `other`, separated by commas.
    pub(super) fn differences(&self, other: &Self) -> String {
        let here = self
            .0
            .iter()
            .filter(|&(name, value)| other.0.get(name) != Some(value));
        let there = other.0.keys().filter(|name| !self.0.contains_key(*name));
        let names: Vec<&str> = here
            .map(|(name, _)| name)
            .chain(there)
            .map(String::as_str)
            .collect();
        names.join(", ")
    }
}

/// Returns the SHA-256 of these texts in hexadecimal digits. It also depends on the boundaries between the texts.
pub fn digest(texts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> String {
    let mut hasher = Sha256::new();
    for text in texts {
        hasher.update((text.as_ref().len() as u64).to_le_bytes());
        hasher.update(text);
    }
    format!("{:x}", hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named_whichever_side_has_them() {
        let mut one = Job::new("classify");
        let mut other = one.clone();
        assert_eq!(one.differences(&other), "");
        one.add("top_k", 5);
        other.add("top_k", 3);
        one.add("labels", "abc");
        other.add("tf32", true);
        assert_eq!(one.differences(&other), "labels, top_k, tf32");
    }

    #[test]
    fn a_digest_tells_where_texts_end() {
        let of = |texts: &[&str]| digest(texts.iter().map(|text| text.as_bytes()));
        assert_eq!(of(&["a", "bc"]), of(&["a", "bc"]));
        assert_ne!(of(&["a", "bc"]), of(&["ab", "c"]));
    }
}
