//! Data sets with one folder of images per class, like torchvision's `ImageFolder`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use effnet_image::{Image, is_hidden, is_image_path};
use walkdir::WalkDir;

use super::classes::Classes;
use super::error::NameList;
use super::{BoxError, DataError, Dataset};

/// Images in `ROOT/CLASS/`, at any depth below it.
///
/// Classes and images are ordered as in torchvision's `ImageFolder`. Hidden files and folders, and files
/// without an image extension, are skipped; links are followed.
#[derive(Debug)]
pub struct ImageFolder {
    classes: Vec<String>,
    files: Vec<(PathBuf, usize)>,
}

impl ImageFolder {
    /// Lists the class folders of `root` and the files in them, without opening any file.
    ///
    /// # Errors
    /// [`DataError`]: a folder cannot be read; there are no class folders, or some have no images, differ only
    /// in case or are not named in UTF-8.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, DataError> {
        Self::list(root.as_ref(), None)
    }

    /// Like [`ImageFolder::open`], with known classes: labels are indices into `classes`, and not every class
    /// needs a folder.
    ///
    /// # Errors
    /// Same as [`ImageFolder::open`], and [`DataError::UnknownClasses`].
    pub fn with_classes(root: impl AsRef<Path>, classes: &[String]) -> Result<Self, DataError> {
        Self::list(root.as_ref(), Some(classes))
    }

    fn list(root: &Path, known: Option<&[String]>) -> Result<Self, DataError> {
        let folders = class_folders(root)?;
        let found: BTreeSet<String> = folders.iter().map(|(name, _)| name.clone()).collect();
        let classes = Classes::choose(root, found, known)?;
        let (mut files, mut empty) = (Vec::new(), Vec::new());
        for (name, folder) in folders {
            let images = images(&folder)?;
            if images.is_empty() {
                empty.push(name.clone());
            }
            if let Some(label) = classes.label(&name) {
                files.extend(images.into_iter().map(|path| (path, label)));
            }
        }
        if !empty.is_empty() {
            return Err(DataError::EmptyClasses {
                path: root.to_owned(),
                classes: NameList::from_iter(empty),
            });
        }
        Ok(Self {
            classes: classes.into_names(),
            files,
        })
    }

    /// The path of an image.
    ///
    /// # Panics
    /// If `index` is not below [`Dataset::len`].
    pub fn path(&self, index: usize) -> &Path {
        &self.files[index].0
    }
}

impl Dataset for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> usize {
        self.files[index].1
    }

    fn name(&self, index: usize) -> String {
        self.path(index).display().to_string()
    }

    fn image(&self, index: usize) -> Result<Image, BoxError> {
        Ok(Image::open(self.path(index))?)
    }
}

/// The class folders in `root`, sorted by name.
fn class_folders(root: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    let failed = |source| DataError::Read {
        path: root.to_owned(),
        source,
    };
    let (mut folders, mut loose) = (Vec::new(), 0);
    for entry in fs::read_dir(root).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default();
        if is_hidden(name) {
            continue;
        }
        if path.is_dir() {
            let name = class_name(root, name)?;
            folders.push((name, path));
        } else if is_image_path(&path) {
            loose += 1;
        }
    }
    if folders.is_empty() {
        return Err(DataError::NoClasses {
            path: root.to_owned(),
            found: match loose {
                0 => "neither folders nor images".to_owned(),
                1 => "1 image directly in it".to_owned(),
                _ => format!("{loose} images directly in it"),
            },
        });
    }
    folders.sort();
    Ok(folders)
}

pub(crate) fn class_name(path: &Path, name: &OsStr) -> Result<String, DataError> {
    let utf8 = name.to_str().map(str::to_owned);
    utf8.ok_or_else(|| DataError::ClassName {
        path: path.to_owned(),
        name: name.to_owned(),
    })
}

/// The images below a folder, grouped by subfolder and sorted.
fn images(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut images = Vec::new();
    let walk = WalkDir::new(folder).follow_links(true).into_iter();
    // The class folder itself passed already, and a parent may be hidden.
    let visible = |entry: &walkdir::DirEntry| entry.depth() == 0 || !is_hidden(entry.file_name());
    for entry in walk.filter_entry(visible) {
        let entry = match entry {
            Ok(entry) => entry,
            // A broken link with an image extension is listed; reading it reports the error.
            Err(error) if error.loop_ancestor().is_none() && error.path().is_some_and(Path::is_symlink) => {
                images.extend(
                    error
                        .path()
                        .filter(|path| is_image_path(path))
                        .map(Path::to_owned),
                );
                continue;
            }
            Err(error) => {
                return Err(DataError::Read {
                    path: error.path().unwrap_or(folder).to_owned(),
                    source: error.into(),
                });
            }
        };
        if entry.file_type().is_file() && is_image_path(entry.path()) {
            images.push(entry.into_path());
        }
    }
    let bytes = |path: Option<&OsStr>| path.unwrap_or_default().as_encoded_bytes().to_vec();
    images.sort_by_cached_key(|path| (bytes(path.parent().map(Path::as_os_str)), bytes(path.file_name())));
    Ok(images)
}
