//! Determines the role of images from the name of a folder, or from a value in a column `split`.
//!
//! The same part has many names: `train`, `Training`, `seg_train`, `train_set`, `trainset`, `train2017`. A
//! name that is not recognised becomes a class of its own, and the network then learns to tell training
//! images from test images.

/// The purpose of a part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Role {
    Train,
    Validation,
    Test,
    /// Images without labels, to be classified.
    Unlabelled,
}

/// Words that name a role, in the order in which folders with the same role are preferred.
const ROLES: [(&str, Role); 23] = [
    ("train", Role::Train),
    ("training", Role::Train),
    ("trainval", Role::Train),
    ("trn", Role::Train),
    ("val", Role::Validation),
    ("valid", Role::Validation),
    ("validation", Role::Validation),
    ("validate", Role::Validation),
    ("validating", Role::Validation),
    ("dev", Role::Validation),
    ("devel", Role::Validation),
    ("development", Role::Validation),
    ("eval", Role::Validation),
    ("evaluation", Role::Validation),
    ("holdout", Role::Validation),
    ("test", Role::Test),
    ("testing", Role::Test),
    ("tst", Role::Test),
    ("pred", Role::Unlabelled),
    ("predict", Role::Unlabelled),
    ("prediction", Role::Unlabelled),
    ("unlabeled", Role::Unlabelled),
    ("unlabelled", Role::Unlabelled),
];

/// Words that carry no meaning of their own: `train_set`, `train-images`, `TestData`.
const FILLERS: [&str; 18] = [
    "set", "sets", "data", "dataset", "datasets", "split", "splits", "subset", "image", "images", "img",
    "imgs", "photo", "photos", "raw", "folder", "dir", "files",
];

/// A name that contains a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoleName {
    pub(crate) role: Role,
    /// Position in the order of preference, lower first.
    pub(crate) rank: usize,
    /// The other words of the name: `seg` in `seg_train`. Empty if the name has no other meaning.
    pub(crate) rest: String,
}

impl RoleName {
    /// Finds the role in `name`; `None` if it contains no role, or several.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let (mut found, mut rest) = (None, Vec::new());
        for word in words(name) {
            match rank(&word) {
                Some(rank) if found.is_none() => found = Some(rank),
                Some(_) => return None,
                None if FILLERS.contains(&&*word) => {}
                None => rest.push(word),
            }
        }
        let rank = found?;
        Some(Self {
            role: ROLES[rank].1,
            rank,
            rest: rest.join(" "),
        })
    }

    /// Returns the role of a name that has no other meaning.
    pub(crate) fn exactly(name: &str) -> Option<Self> {
        Self::of(name).filter(|name| name.rest.is_empty())
    }
}

/// Returns whether a name says only that there are images inside: `images`, `raw-img`, `dataset`.
pub(crate) fn is_filler(name: &str) -> bool {
    let words = words(name);
    !words.is_empty() && words.iter().all(|word| FILLERS.contains(&&**word))
}

/// Returns the position of a word in [`ROLES`], with or without a filler at its end (`trainset`).
fn rank(word: &str) -> Option<usize> {
    let position = |word: &str| ROLES.iter().position(|(role, _)| *role == word);
    let without = |filler: &&str| word.strip_suffix(filler).and_then(position);
    position(word).or_else(|| FILLERS.iter().find_map(without))
}

/// Returns the words of a name in lower case. `seg_train`, `SegTrain` and `seg train` have the same words,
/// and `train2017` has two.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut last: Option<char> = None;
    for c in name.chars() {
        if !c.is_alphanumeric() {
            last = None;
            continue;
        }
        let joins = last.is_some_and(|last| {
            last.is_numeric() == c.is_numeric() && !(last.is_lowercase() && c.is_uppercase())
        });
        match words.last_mut() {
            Some(word) if joins => word.extend(c.to_lowercase()),
            _ => words.push(c.to_lowercase().collect()),
        }
        last = Some(c);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_found_however_its_name_is_written() {
        for (name, role, rest) in [
            ("train", Role::Train, ""),
            ("TRAIN", Role::Train, ""),
            ("Training", Role::Train, ""),
            ("training_set", Role::Train, ""),
            ("train-images", Role::Train, ""),
            ("TrainSet", Role::Train, ""),
            ("trainset", Role::Train, ""),
            ("seg_train", Role::Train, "seg"),
            ("train2017", Role::Train, "2017"),
            ("Val", Role::Validation, ""),
            ("valid", Role::Validation, ""),
            ("dev", Role::Validation, ""),
            ("Testing", Role::Test, ""),
            ("test_data", Role::Test, ""),
            ("seg_pred", Role::Unlabelled, "seg"),
        ] {
            let found = RoleName::of(name).unwrap();
            assert_eq!((found.role, &*found.rest), (role, rest), "{name}");
        }
    }

    #[test]
    fn other_names_have_no_role() {
        for name in [
            "cat",
            "invalid",
            "trains",
            "contest",
            "tested",
            "images",
            "",
            "--",
            "test_train",
            "Testudo",
        ] {
            assert_eq!(RoleName::of(name), None, "{name}");
        }
        assert!(RoleName::exactly("steam train").is_none());
    }

    #[test]
    fn fillers_say_only_that_images_are_inside() {
        assert!(is_filler("raw-img") && is_filler("Images") && is_filler("data set"));
        assert!(!is_filler("cat images") && !is_filler("") && !is_filler("train_images"));
    }
}
