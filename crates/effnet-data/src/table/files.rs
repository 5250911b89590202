//! Finds the image files that a table names.
//!
//! Tables name images relative to a folder other than their own, without an extension, or with Windows path
//! separators. A name that fits several files is an error: a guess would give images the wrong labels.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use effnet_image::{is_hidden, is_image_path};

use crate::role::{Role, RoleName};

/// Maximum number of folders below that of the table to search; if there are more, none is searched.
const MOST_FOLDERS: usize = 64;

/// Number of missing names after which the folders below are no longer searched.
const MOST_MISSING: usize = 1000;

/// The result of looking for a name.
pub(super) enum Found {
    File(PathBuf),
    /// Two or more files fit the name; these are two of them.
    Several([PathBuf; 2]),
    Nothing,
}

/// The files around a table.
pub(super) struct Files {
    folder: PathBuf,
    /// The role in the name of the table: `train.csv` lists training images.
    role: Option<Role>,
    /// The folders below, listed when a name is not found in `folder`. `None` once too many names were not
    /// found at all.
    below: Option<Vec<Below>>,
    /// The images in each folder that was searched, by their names with and without extension.
    listings: HashMap<PathBuf, HashMap<OsString, Vec<OsString>>>,
    /// The number of names that were not found.
    missing: usize,
}

/// A folder below that of the table.
#[derive(Clone)]
struct Below {
    path: PathBuf,
    is_test: bool,
}

impl Files {
    /// Creates the index for the table at `path`.
    pub(super) fn around(path: &Path) -> Self {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        Self {
            folder: path.parent().unwrap_or(Path::new("")).to_owned(),
            role: RoleName::of(&stem).map(|name| name.role),
            below: None,
            listings: HashMap::new(),
            missing: 0,
        }
    }

    /// Looks for a file in the folder of the table, and then in the folders below.
    pub(super) fn find(&mut self, name: &str) -> Found {
        let file = self.folder.join(name);
        if file.is_file() {
            return Found::File(file);
        }
        // The name uses Windows path separators.
        let name = if name.contains('\\') {
            name.replace('\\', "/")
        } else {
            name.to_owned()
        };
        let folder = self.folder.clone();
        let direct = self.within(&folder, &name);
        if !direct.is_empty() {
            return one_of(direct);
        }
        if Path::new(&name).is_absolute() {
            return Found::Nothing;
        }
        let (mut likely, mut others) = (Vec::new(), Vec::new());
        for Below { path, is_test } in self.folders_below() {
            let found = self.within(&path, &name);
            // Labels are usually those of training images: the same name in `test` is a different image.
            let expects_test = matches!(self.role, Some(Role::Test | Role::Unlabelled));
            if is_test == expects_test {
                &mut likely
            } else {
                &mut others
            }
            .extend(found);
        }
        let found = one_of(if likely.is_empty() { others } else { likely });
        if matches!(found, Found::Nothing) {
            self.missing += 1;
            if self.missing == MOST_MISSING {
                self.below = Some(Vec::new());
            }
        }
        found
    }

    /// Returns the files in `root` that `name` fits, with or without its extension.
    fn within(&mut self, root: &Path, name: &str) -> Vec<PathBuf> {
        let path = root.join(name);
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Vec::new();
        };
        let listing = self
            .listings
            .entry(folder.to_owned())
            .or_insert_with(|| list(folder));
        let names = listing.get(name).map_or(&[][..], Vec::as_slice);
        // With its extension, a name fits only one file.
        let names = if names.iter().any(|found| found == name) {
            &[name.to_owned()][..]
        } else {
            names
        };
        let files = names.iter().map(|name| folder.join(name));
        files.filter(|file| file.is_file()).collect()
    }

    /// Returns the folders below that of the table: its subfolders, and their subfolders.
    fn folders_below(&mut self) -> Vec<Below> {
        let below = self.below.get_or_insert_with(|| {
            let mut folders = subfolders(&self.folder);
            for folder in folders.clone() {
                if folders.len() <= MOST_FOLDERS {
                    folders.extend(subfolders(&folder));
                }
            }
            // If only some folders were searched, a name that fits several files could seem to fit only one.
            if folders.len() > MOST_FOLDERS {
                folders.clear();
            }
            let is_test = |name: &OsStr| {
                let role = RoleName::of(&name.to_string_lossy());
                role.is_some_and(|name| matches!(name.role, Role::Test | Role::Unlabelled))
            };
            let below = |path: PathBuf| Below {
                is_test: path
                    .strip_prefix(&self.folder)
                    .is_ok_and(|below| below.iter().any(is_test)),
                path,
            };
            folders.into_iter().map(below).collect()
        });
        below.clone()
    }
}

fn one_of(mut files: Vec<PathBuf>) -> Found {
    files.sort();
    files.dedup();
    match &files[..] {
        [] => Found::Nothing,
        [_] => Found::File(files.remove(0)),
        [first, second, ..] => Found::Several([first.clone(), second.clone()]),
    }
}

/// Returns the images directly in a folder, by name and by name without extension.
fn list(folder: &Path) -> HashMap<OsString, Vec<OsString>> {
    let mut listing: HashMap<OsString, Vec<OsString>> = HashMap::new();
    for name in visible_names(folder) {
        if !is_image_path(Path::new(&name)) {
            continue;
        }
        if let Some(stem) = Path::new(&name).file_stem().map(OsStr::to_owned) {
            listing.entry(stem).or_default().push(name.clone());
        }
        listing.entry(name.clone()).or_default().push(name);
    }
    listing
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let paths = visible_names(folder).into_iter().map(|name| folder.join(name));
    let mut folders: Vec<PathBuf> = paths
        .filter(|path| path.is_dir())
        .take(MOST_FOLDERS + 1)
        .collect();
    folders.sort();
    folders
}

/// Returns the names in a folder. A folder that cannot be read contains nothing that could be opened.
fn visible_names(folder: &Path) -> Vec<OsString> {
    // The table has no folder in its path.
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name());
    names.filter(|name| !is_hidden(name)).collect()
}
