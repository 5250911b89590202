//! Lists the images and folders of an archive, by the same rules for every kind of archive.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::BufReader;
use std::path::{Component, Path, PathBuf};

use effnet_image::{is_hidden, is_image_path, unsupported_kind};

use super::{ArchiveError, TarKind, ZipFile, walk_tar};

/// Maximum number of nested folders around all others that are stripped.
const MOST_COMMON: usize = 8;

/// An image: its path without the common top-level folder, and the place of its bytes in the archive.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: PathBuf,
    pub(super) place: u64,
    pub(super) size: u64,
}

/// The content of an archive.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) entries: Vec<Entry>,
    pub(super) folders: BTreeSet<PathBuf>,
    /// The number of files of each unsupported kind of image.
    pub(super) unsupported: BTreeMap<&'static str, usize>,
}

impl Listing {
    /// Lists a tar archive of `length` bytes.
    pub(super) fn of_tar(file: &File, length: u64) -> Result<Self, ArchiveError> {
        let mut listing = Self::default();
        walk_tar(&mut BufReader::new(file), |member| {
            let end = member.offset.checked_add(member.size);
            if end.is_none_or(|end| end > length) {
                let name = member.name.display();
                return Err(ArchiveError::Damaged(format!(
                    "truncated in {name:.200} at byte {length}"
                )));
            }
            match member.kind {
                TarKind::Folder => listing.folders.extend(visible(&member.name)),
                kind => {
                    let is_file = kind == TarKind::File;
                    listing.add(&member.name, is_file, member.offset, member.size);
                }
            }
            Ok(())
        })?;
        Ok(listing.finish())
    }

    /// Opens and lists a zip archive.
    pub(super) fn of_zip(file: File) -> Result<(ZipFile, Self), ArchiveError> {
        let mut zip = ZipFile::open(file)?;
        let mut listing = Self::default();
        for index in 0..zip.len() {
            let Some(name) = zip.name(index).map(PathBuf::from) else {
                continue;
            };
            if zip.name(index).is_some_and(|name| name.ends_with('/')) {
                listing.folders.extend(visible(&name));
            } else if is_image_path(&name) {
                let size = zip.size(index)?;
                listing.add(&name, size.is_some(), index as u64, size.unwrap_or(0));
            } else {
                listing.add(&name, true, index as u64, 0);
            }
        }
        Ok((zip, listing.finish()))
    }

    /// Adds what is not a folder.
    fn add(&mut self, name: &Path, is_file: bool, place: u64, size: u64) {
        let Some(name) = visible(name) else {
            return;
        };
        self.folders.extend(name.parent().map(Path::to_owned));
        if !is_file {
            return;
        }
        if is_image_path(&name) {
            self.entries.push(Entry { name, place, size });
        } else if let Some(kind) = unsupported_kind(&name) {
            *self.unsupported.entry(kind).or_insert(0) += 1;
        }
    }

    fn finish(mut self) -> Self {
        self.folders.remove(Path::new(""));
        self
    }

    /// Strips the top-level folders that all entries share, as long as class folders remain. Drops images next to
    /// the class folders, which have no class, and returns their number.
    pub(super) fn strip_common_folder(&mut self) -> usize {
        let Self { entries, folders, .. } = self;
        let before = entries.len();
        for _ in 0..MOST_COMMON {
            let first = entries.first().and_then(|entry| entry.name.iter().next());
            let Some(common) = first.map(OsStr::to_owned) else {
                break;
            };
            let shared = entries.iter().all(|entry| entry.name.starts_with(&common));
            let deep = |entry: &Entry| entry.name.iter().count() > 2;
            if !shared || !entries.iter().any(deep) {
                break;
            }
            entries.retain(deep);
            let below = |name: &Path| name.iter().skip(1).collect::<PathBuf>();
            for entry in &mut *entries {
                entry.name = below(&entry.name);
            }
            *folders = folders.iter().map(|folder| below(folder)).collect();
            folders.remove(Path::new(""));
        }
        before - entries.len()
    }
}

/// Returns the path without `.` and `..` components; `None` if it is hidden or empty.
fn visible(path: &Path) -> Option<PathBuf> {
    let normal = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        _ => None,
    });
    let name: PathBuf = normal.collect();
    let hidden = name.iter().any(is_hidden);
    (!hidden && !name.as_os_str().is_empty()).then_some(name)
}

/// Returns the first component of a path with several components, and the rest of the path.
pub(super) fn split_first(path: &Path) -> Option<(&OsStr, &Path)> {
    let mut components = path.components();
    let first = components.next()?;
    let rest = components.as_path();
    (!rest.as_os_str().is_empty()).then_some((first.as_os_str(), rest))
}
