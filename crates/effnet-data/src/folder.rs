//! Data sets with one folder of images per class, like torchvision's `ImageFolder`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use effnet_image::{Image, Needed, PartialImage, is_hidden, is_image_path, unsupported_kind};
use walkdir::WalkDir;

use super::class_folders;
use super::classes::{Classes, class_name};
use super::error::NameList;
use super::layout::{Content, Folder, Tree};
use super::notice::Notice;
use super::{BoxError, DataError, Dataset};

/// Images in `ROOT/CLASS/`, at any depth below it.
///
/// Classes and images are ordered as in torchvision's `ImageFolder`. Hidden files and folders, and files
/// without an image extension, are skipped; links are followed.
#[derive(Debug)]
pub struct ImageFolder {
    classes: Vec<String>,
    files: Vec<(PathBuf, usize)>,
    /// The number of files of each unsupported kind of image.
    unsupported: BTreeMap<&'static str, usize>,
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

    /// Like [`ImageFolder::open`], but with known classes: labels are indices into `classes`, and not every
    /// class needs a folder.
    ///
    /// # Errors
    /// Same as [`ImageFolder::open`], and [`DataError::UnknownClasses`].
    pub fn with_classes(root: impl AsRef<Path>, classes: &[String]) -> Result<Self, DataError> {
        Self::list(root.as_ref(), Some(classes))
    }

    fn list(root: &Path, known: Option<&[String]>) -> Result<Self, DataError> {
        let folders = sorted_class_folders(root)?;
        let found: BTreeSet<String> = folders.iter().map(|(name, _)| name.clone()).collect();
        let classes = Classes::choose(root, found, known)?;
        let (mut files, mut empty) = (Vec::new(), Vec::new());
        let mut unsupported = BTreeMap::new();
        for (name, folder) in folders {
            let Listing {
                images,
                unsupported: others,
            } = list(&folder)?;
            if images.is_empty() {
                empty.push(empty_class(&name, &others));
            }
            for (kind, files) in others {
                *unsupported.entry(kind).or_insert(0) += files;
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
            unsupported,
        })
    }

    /// Returns what looks wrong about the class folders in `root`, which must already have been opened.
    pub(crate) fn notices(&self, root: &Path) -> Vec<Notice> {
        let below = self.files.iter().filter_map(|(path, label)| {
            let mut components = path.strip_prefix(root).ok()?.iter().skip(1);
            let first = components.next()?;
            components.next().is_some().then_some((*label, first))
        });
        let mut notices = class_folders::notices(&self.classes, below);
        notices.extend(Notice::unsupported(&self.unsupported));
        notices
    }

    /// Returns the path of an image.
    ///
    /// # Panics
    /// Panics if `index` is not below [`Dataset::len`].
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

    fn part(
        &self,
        index: usize,
        needed: &dyn Fn(usize, usize) -> Option<Needed>,
    ) -> Result<PartialImage, BoxError> {
        Ok(PartialImage::open(self.path(index), needed)?)
    }
}

/// Folders on disk.
pub(crate) struct Disk;

impl Tree for Disk {
    fn content(&self, folder: &Path) -> Result<Content, DataError> {
        let failed = |source| DataError::Read {
            path: folder.to_owned(),
            source,
        };
        let mut content = Content::default();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let (name, path) = (entry.file_name(), entry.path());
            if is_hidden(&name) {
                continue;
            }
            // Only links need another system call.
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() || (kind.is_symlink() && path.is_dir()) {
                // A name that is not UTF-8 is reported when it turns out to be a class.
                let name = name.to_string_lossy().into_owned();
                content.folders.push(Folder { name, path });
            } else if is_image_path(&path) {
                content.images += 1;
            }
        }
        let tables = TABLES.iter().map(|name| folder.join(name));
        content.table = tables
            .into_iter()
            .find(|table| content.images > 0 && table.is_file());
        content
            .folders
            .sort_by(|left, right| left.path.as_os_str().cmp(right.path.as_os_str()));
        Ok(content)
    }

    fn has_images(&self, folder: &Path) -> bool {
        let visible = |entry: &walkdir::DirEntry| entry.depth() == 0 || !is_hidden(entry.file_name());
        let walk = WalkDir::new(folder).follow_links(true).into_iter();
        let mut files = walk.filter_entry(visible).flatten();
        files.any(|entry| entry.file_type().is_file() && is_image_path(entry.path()))
    }
}

/// Names of tables that come with a folder of images, as in data sets on the Hugging Face Hub and from
/// Roboflow.
const TABLES: [&str; 3] = ["metadata.jsonl", "metadata.csv", "_classes.csv"];

/// Returns the table of the images in a folder that has no class folders.
///
/// # Errors
/// [`DataError::Read`].
pub(crate) fn table_in(folder: &Path) -> Result<Option<PathBuf>, DataError> {
    let Content { folders, table, .. } = Disk.content(folder)?;
    Ok(table.filter(|_| folders.is_empty()))
}

/// Returns the class folders in `root`, sorted by name.
fn sorted_class_folders(root: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
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
        let found = match loose {
            0 => "neither folders nor images".to_owned(),
            1 => "1 image directly in it".to_owned(),
            _ => format!("{loose} images directly in it"),
        };
        return Err(DataError::NoClasses {
            path: root.to_owned(),
            found: match nearby_table(root) {
                Some(table) => format!(
                    "{found}; if {} lists their labels, pass that file",
                    table.display()
                ),
                None => found,
            },
        });
    }
    folders.sort();
    Ok(folders)
}

/// Finds a CSV file in a folder without class folders, or next to that folder. It may list the labels of the
/// images.
fn nearby_table(root: &Path) -> Option<PathBuf> {
    let folders = [Some(root), root.parent()].into_iter().flatten();
    let files = folders.flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    let is_csv = |path: &PathBuf| {
        path.extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
    };
    let mut tables: Vec<PathBuf> = files.map(|entry| entry.path()).filter(is_csv).collect();
    // Kaggle's sample_submission.csv lists the test images.
    tables.retain(|table| {
        !table
            .file_stem()
            .is_some_and(|stem| stem.eq_ignore_ascii_case("sample_submission"))
    });
    tables.sort();
    tables.into_iter().next()
}

/// The files below a folder.
struct Listing {
    /// The images, grouped by subfolder and sorted.
    images: Vec<PathBuf>,
    /// The number of files of each unsupported kind of image.
    unsupported: BTreeMap<&'static str, usize>,
}

fn list(folder: &Path) -> Result<Listing, DataError> {
    let (mut images, mut unsupported) = (Vec::new(), BTreeMap::new());
    let walk = WalkDir::new(folder).follow_links(true).into_iter();
    // The class folder itself was accepted earlier, and a parent folder may be hidden.
    let visible = |entry: &walkdir::DirEntry| entry.depth() == 0 || !is_hidden(entry.file_name());
    for entry in walk.filter_entry(visible) {
        let path = match entry {
            Ok(entry) if !entry.file_type().is_file() => continue,
            Ok(entry) => entry.into_path(),
            // A broken link with an image extension is listed; reading it reports the error.
            Err(error) if error.loop_ancestor().is_none() && error.path().is_some_and(Path::is_symlink) => {
                error.path().unwrap_or(folder).to_owned()
            }
            Err(error) => {
                return Err(DataError::Read {
                    path: error.path().unwrap_or(folder).to_owned(),
                    source: error.into(),
                });
            }
        };
        if is_image_path(&path) {
            images.push(path);
        } else if let Some(kind) = unsupported_kind(&path) {
            *unsupported.entry(kind).or_insert(0) += 1;
        }
    }
    let bytes = |path: Option<&OsStr>| path.unwrap_or_default().as_encoded_bytes().to_vec();
    images.sort_by_cached_key(|path| (bytes(path.parent().map(Path::as_os_str)), bytes(path.file_name())));
    Ok(Listing { images, unsupported })
}

/// Describes a class without images, and what its folder has instead.
fn empty_class(name: &str, unsupported: &BTreeMap<&'static str, usize>) -> String {
    match unsupported.iter().next() {
        Some((kind, 1)) => format!("{name} (1 {kind} file, which effnet cannot read)"),
        Some((kind, files)) => format!("{name} ({files} {kind} files, which effnet cannot read)"),
        None => name.to_owned(),
    }
}
