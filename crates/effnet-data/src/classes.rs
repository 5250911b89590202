//! The class names of a data set and their labels.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::path::Path;

use super::DataError;
use super::error::NameList;

/// Class names, and the label of each class.
#[derive(Debug)]
pub(crate) struct Classes {
    names: Vec<String>,
    labels: HashMap<String, usize>,
}

impl Classes {
    /// Creates the classes found in a data set, sorted by name as in torchvision.
    pub(crate) fn found(path: &Path, names: BTreeSet<String>) -> Result<Self, DataError> {
        let mut folded: HashMap<String, &String> = HashMap::new();
        for name in &names {
            if let Some(first) = folded.insert(name.to_lowercase(), name) {
                return Err(DataError::CaseCollision {
                    path: path.to_owned(),
                    first: first.clone(),
                    second: name.clone(),
                });
            }
        }
        Ok(Self::listed(names.into_iter().collect()))
    }

    /// Creates the classes of a network, in its order.
    pub(crate) fn listed(names: Vec<String>) -> Self {
        let numbered = names.iter().cloned().enumerate();
        Self {
            labels: numbered.map(|(label, name)| (name, label)).collect(),
            names,
        }
    }

    /// Returns `known` if there are known classes, and `found` otherwise. Fails if a class was found that is
    /// not in `known`.
    pub(crate) fn choose(
        path: &Path,
        found: BTreeSet<String>,
        known: Option<&[String]>,
    ) -> Result<Self, DataError> {
        let Some(known) = known else {
            return Self::found(path, found);
        };
        let classes = Self::listed(known.to_vec());
        let unknown: Vec<String> = found
            .into_iter()
            .filter(|name| classes.label(name).is_none())
            .collect();
        if unknown.is_empty() {
            return Ok(classes);
        }
        Err(DataError::UnknownClasses {
            path: path.to_owned(),
            known: known.len(),
            unknown: NameList::from_iter(unknown),
        })
    }

    pub(crate) fn label(&self, name: &str) -> Option<usize> {
        self.labels.get(name).copied()
    }

    pub(crate) fn into_names(self) -> Vec<String> {
        self.names
    }
}

/// Returns the name of a class folder, which must be UTF-8.
pub(crate) fn class_name(path: &Path, name: &OsStr) -> Result<String, DataError> {
    let utf8 = name.to_str().map(str::to_owned);
    utf8.ok_or_else(|| DataError::ClassName {
        path: path.to_owned(),
        name: name.to_owned(),
    })
}
