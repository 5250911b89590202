//! Which class of a network a class of a data set is.

use std::collections::BTreeMap;

use crate::{Labels, LabelsError};

/// The most names that an error lists.
const LISTED: usize = 12;

/// Why the classes of a data set are not those of a network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClassMatchError {
    /// Some names are unknown to the network.
    #[error(
        "the classes of the data are not those of the network: {}\nthe data has: {}\nthe network has: {}\nName the \
         folders like the network's classes, or pass the names that the network was trained with by --labels FILE",
        list(unknown),
        list(data),
        list(network)
    )]
    Unknown {
        /// Names of the data that the network does not have.
        unknown: Vec<String>,
        /// All names of the data.
        data: Vec<String>,
        /// All names of the network.
        network: Vec<String>,
    },
    /// Two names of the data mean one class.
    #[error("`{first}` and `{second}` are both the network's class `{class}`")]
    Twice {
        /// A name of the data.
        first: String,
        /// Another one.
        second: String,
        /// The network's name.
        class: String,
    },
    /// ImageNet's names cannot be read.
    #[error(transparent)]
    Labels(#[from] LabelsError),
}

/// The network's class for each of the data set's `names`: all of them by the network's class names, or
/// all by ImageNet's ids, or all by number, or all by names that differ in case, in underscores for
/// spaces, or are one of several synonyms.
///
/// # Errors
/// When none of these finds all, with both lists; and when two names mean the same class.
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

/// From each key to its class; keys of several classes mean none.
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

/// A label as a whole, and what its commas separate.
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
    let shown = names.iter().take(LISTED).map(String::as_str);
    let text = shown.collect::<Vec<_>>().join(", ");
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
        // A bird and a machine.
        let error = match_classes(&names(&["crane"]), &Labels::imagenet().unwrap()).unwrap_err();
        assert!(error.to_string().contains("crane"), "{error}");
    }

    #[test]
    fn classes_that_the_network_lacks_are_named_and_both_lists_shown() {
        let error = match_classes(&names(&["cat", "zebra"]), &own())
            .unwrap_err()
            .to_string();
        assert!(error.contains("not those of the network: zebra\n"), "{error}");
        assert!(error.contains("the data has: cat, zebra\n"), "{error}");
        assert!(error.contains("the network has: cat, polar bear"), "{error}");
        let many: Vec<String> = (0..20).map(|n| format!("thing {n}")).collect();
        let error = match_classes(&many, &own()).unwrap_err().to_string();
        assert!(error.contains("thing 11 and 8 more"), "{error}");
    }

    #[test]
    fn two_folders_for_one_class_are_refused() {
        let error = match_classes(&names(&["dog", "domestic_dog"]), &own()).unwrap_err();
        assert!(
            error.to_string().contains("`dog` and `domestic_dog` are both"),
            "{error}"
        );
    }
}
