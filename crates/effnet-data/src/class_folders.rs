//! Detects class folders that look like something else.
//!
//! Any folder can be a class. A copy of the data set, or a split under an unknown name, would therefore be
//! trained on as a class. The folder names usually give such mistakes away.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use super::error::NameList;
use super::notice::Notice;
use super::role::RoleName;

/// Returns what looks wrong about class folders. `subfolders` holds the label of each image that is not
/// directly in its class folder, with the first folder below the class folder.
pub(crate) fn notices<'a>(
    classes: &[String],
    subfolders: impl Iterator<Item = (usize, &'a OsStr)>,
) -> Vec<Notice> {
    let mut below = vec![BTreeSet::new(); classes.len()];
    for (label, folder) in subfolders {
        if let Some(below) = below.get_mut(label)
            && !below.contains(folder)
        {
            below.insert(folder.to_owned());
        }
    }
    let below: Vec<BTreeSet<String>> = below
        .into_iter()
        .map(|folders| {
            folders
                .iter()
                .map(|name| name.to_string_lossy().into_owned())
                .collect()
        })
        .collect();
    let mut notices = Vec::new();
    let parts = classes.iter().filter(|name| RoleName::exactly(name).is_some());
    let parts: NameList = parts.cloned().collect();
    if parts.names().len() > 1 {
        notices.push(Notice::PartsAsClasses { classes: parts });
    }
    if let [first, others @ ..] = &below[..]
        && !others.is_empty()
        && first.len() > 1
        && others.iter().all(|other| other == first)
    {
        notices.push(Notice::SameSubfolders {
            classes: classes.iter().cloned().collect(),
            subfolders: first.iter().cloned().collect(),
        });
    }
    let names: BTreeSet<&String> = classes.iter().collect();
    for (class, below) in classes.iter().zip(&below) {
        let nested = below.iter().filter(|folder| names.contains(folder));
        let nested: NameList = nested.cloned().collect();
        if nested.names().len() > 1 {
            notices.push(Notice::NestedClasses {
                class: class.clone(),
                nested,
            });
        }
    }
    notices
}
