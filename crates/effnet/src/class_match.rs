//! Matches the class names of a data set to the classes of a network.
//!
//! Folders are named in many ways: `n02510455`, `giant_panda`, `388`. `effnet evaluate` needs the network's
//! class for each folder; a wrong guess would give a wrong accuracy without an error, so either one rule
//! matches all names or the data set is rejected.

use std::collections::BTreeMap;

use crate::{Labels, LabelsError};

/// Maximum number of names that an error lists.
const LISTED: usize = 12;

/// Errors from matching the classes of a data set to those of a network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClassMatchError {
    /// Some names are unknown to the network.
    #[error(
        "these classes in the data are unknown to the network: {}\nclasses in the data: {}\nclasses of the \
         network: {}\nRename the folders to the network's class names, or pass the names that the network was \
         trained with as --labels FILE",
        list(unknown),
        list(data),
        list(network)
    )]
    Unknown {
        /// Names in the data that the network does not have.
        unknown: Vec<String>,
        /// All names in the data.
        data: Vec<String>,
        /// All class names of the network.
        network: Vec<String>,
    },
    /// Two names in the data match the same class.
    #[error("`{first}` and `{second}` both match the network's class `{class}`; merge them")]
    Twice {
        /// One name in the data.
        first: String,
        /// The other name.
        second: String,
        /// Class name of the network.
        class: String,
    },
    /// ImageNet's names cannot be read.
    #[error(transparent)]
    Labels(#[from] LabelsError),
}

/// Returns the network's class for each of `names`. The first rule that matches all names is used: exact
/// class names, WordNet IDs of ImageNet, class numbers, or class names that may differ in case, have
/// underscores or hyphens instead of spaces, or be one of several synonyms.
///
/// Public for the other crates of this workspace.
///
/// # Errors
/// [`ClassMatchError::Unknown`] when no rule matches all names, [`ClassMatchError::Twice`] when two names
/// match the same class.
pub fn match_classes(names: &[String], labels: &Labels) -> Result<Vec<usize>, ClassMatchError> {
    let exact = index(labels.names().iter().map(|name| vec![name.clone()]));
    let wnids = labels.wnids()?.unwrap_or_default();
    let wnids = index(wnids.into_iter().map(|wnid| vec![wnid]));
    let numbers = index((0..labels.len()).map(|class| vec![class.to_string()]));
    let loose = index(labels.names().iter().map(|name| synonyms(name)));
    let exactly = |name: &String| name.clone();
    let attempts = [
        find_all(names, &exact, exactly),
        find_all(names, &wnids, exactly),
        find_all(names, &numbers, exactly),
        find_all(names, &loose, |name| loosened(name)),
    ];
    let Some(classes) = attempts.into_iter().flatten().next() else {
        let unknown = names.iter().filter(|name| !exact.contains_key(*name));
        return Err(ClassMatchError::Unknown {
            unknown: unknown.cloned().collect(),
            data: names.to_vec(),
            network: labels.names().to_vec(),
        });
    };
    let mut taken = BTreeMap::new();
    for (name, &class) in names.iter().zip(&classes) {
        if let Some(other) = taken.insert(class, name) {
            return Err(ClassMatchError::Twice {
                first: other.clone(),
                second: name.clone(),
                class: labels.get(class).to_owned(),
            });
        }
    }
    Ok(classes)
}

/// Maps each key to its class, or to `None` if it belongs to several classes.
fn index(keys: impl Iterator<Item = Vec<String>>) -> BTreeMap<String, Option<usize>> {
    let mut index = BTreeMap::new();
    for (class, keys) in keys.enumerate() {
        for key in keys {
            let entry = index.entry(key).or_insert(Some(class));
            if *entry != Some(class) {
                *entry = None;
            }
        }
    }
    index
}

fn find_all(
    names: &[String],
    index: &BTreeMap<String, Option<usize>>,
    key: impl Fn(&String) -> String,
) -> Option<Vec<usize>> {
    names
        .iter()
        .map(|name| index.get(&key(name)).copied().flatten())
        .collect()
}

/// Returns the whole label and its comma-separated parts, passed through `loosened`.
fn synonyms(label: &str) -> Vec<String> {
    let mut keys: Vec<String> = label.split(',').map(loosened).collect();
    keys.push(loosened(label));
    keys.sort();
    keys.dedup();
    keys
}

fn loosened(name: &str) -> String {
    name.trim().to_lowercase().replace(['_', '-'], " ")
}

fn list(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(LISTED).map(String::as_str).collect();
    // ImageNet's names are lists of synonyms.
    let has_lists = shown.iter().any(|name| name.contains(','));
    let text = shown.join(if has_lists { "; " } else { ", " });
    match names.len().checked_sub(LISTED) {
        Some(more @ 1..) => format!("{text} and {more} more"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn own() -> Labels {
        Labels::from_names(names(&["cat", "polar bear", "dog, domestic dog", "0"]))
    }

    #[test]
    fn folders_are_found_by_the_exact_names_of_classes_whatever_their_order() {
        let found = match_classes(&names(&["0", "cat", "polar bear"]), &own()).unwrap();
        assert_eq!(found, [3, 0, 1]);
    }

    #[test]
    fn imagenet_is_found_by_wordnet_ids_by_numbers_and_by_synonyms() {
        let imagenet = Labels::imagenet().unwrap();
        let find = |list: &[&str]| match_classes(&names(list), &imagenet).unwrap();
        assert_eq!(find(&["n01440764", "n02510455"]), [0, 388]);
        assert_eq!(find(&["0", "388", "999"]), [0, 388, 999]);
        assert_eq!(find(&["Tench", "giant_panda"]), [0, 388]);
    }

    #[test]
    fn an_ambiguous_synonym_is_no_match() {
        // A crane is a bird or a machine.
        let error = match_classes(&names(&["crane"]), &Labels::imagenet().unwrap()).unwrap_err();
        assert!(error.to_string().contains("crane"), "{error}");
    }

    #[test]
    fn classes_that_the_network_does_not_have_are_named_and_both_lists_shown() {
        let error = match_classes(&names(&["cat", "zebra"]), &own())
            .unwrap_err()
            .to_string();
        assert!(error.contains("are unknown to the network: zebra\n"), "{error}");
        assert!(error.contains("classes in the data: cat, zebra\n"), "{error}");
        assert!(
            error.contains("classes of the network: cat; polar bear"),
            "{error}"
        );
        let many: Vec<String> = (0..20).map(|n| format!("thing {n}")).collect();
        let error = match_classes(&many, &own()).unwrap_err().to_string();
        assert!(error.contains("thing 11 and 8 more"), "{error}");
        let error = match_classes(&names(&["house"]), &Labels::imagenet().unwrap()).unwrap_err();
        let expected = "tench, Tinca tinca; goldfish, Carassius auratus; ";
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn two_folders_for_one_class_are_refused() {
        let error = match_classes(&names(&["dog", "domestic_dog"]), &own()).unwrap_err();
        assert!(
            error.to_string().contains("`dog` and `domestic_dog` both match"),
            "{error}"
        );
    }
}
