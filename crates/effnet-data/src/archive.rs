//! Data sets in a tar archive, read in place.
//!
//! Many data sets are distributed as tar, and one large file is far quicker to copy and to open than a million
//! small ones. The headers are read once; after that each image is one positional read, from any thread and in
//! any order. That needs an uncompressed archive, so a compressed one is refused with advice.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use effnet_image::{DecodeOptions, Image, is_hidden, is_image_path};

use super::classes::Classes;
use super::folder::class_name;
use super::layout::SplitFolders;
use super::positional::read_exact_at;
use super::{BoxError, DataError, Dataset, NameList};

/// The index of a tar archive's images, from which [`TarDataset`]s are made.
///
/// Entries are `CLASS/FILE`, or `train/CLASS/FILE` and `val/CLASS/FILE`, at any depth below; a common top-level
/// folder is ignored. Hidden files, files without an image extension and links are skipped.
#[derive(Debug)]
pub struct TarArchive {
    path: Arc<Path>,
    file: Arc<File>,
    entries: Vec<Entry>,
    /// All folders that contain anything, images or not, named like the entries.
    folders: BTreeSet<PathBuf>,
    split_folders: Option<SplitFolders<String>>,
}

/// An image: its path without the common top-level folder, and the position of its bytes in the archive.
#[derive(Debug, Clone)]
struct Entry {
    name: PathBuf,
    offset: u64,
    size: u64,
}

impl TarArchive {
    /// Opens an archive and reads its headers.
    ///
    /// # Errors
    /// [`DataError::Read`], or [`DataError::Archive`] if it is damaged, truncated or compressed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let failed = |source| DataError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        refuse_compressed(path, &file)?;
        let Listing {
            mut entries,
            mut folders,
        } = list(path, &file, length)?;
        strip_common_folder(&mut entries, &mut folders);
        entries.sort_by_cached_key(|entry| entry.name.as_os_str().as_encoded_bytes().to_vec());
        let mut archive = Self {
            path: path.into(),
            file: Arc::new(file),
            entries,
            folders,
            split_folders: None,
        };
        let holds_images = |folder: &String| {
            let direct = |entry: &Entry| entry.name.parent() == Some(Path::new(folder));
            archive.entries.iter().any(direct)
        };
        archive.split_folders = SplitFolders::among(&archive.top_folders()?, holds_images);
        Ok(archive)
    }

    /// The training and validation folders, if the archive is split.
    pub(crate) fn split_folders(&self) -> Option<&SplitFolders<String>> {
        self.split_folders.as_ref()
    }

    fn top_folders(&self) -> Result<Vec<(String, String)>, DataError> {
        let mut names = BTreeSet::new();
        for entry in &self.entries {
            if let Some((name, _)) = split_first(&entry.name) {
                names.insert(class_name(&self.path, name)?);
            }
        }
        Ok(names.into_iter().map(|name| (name.clone(), name)).collect())
    }

    /// The images of the class folders in `split`, or of the top-level ones if `None`.
    ///
    /// Labels are indices into `classes`, or, if `None`, into the sorted names of the class folders.
    ///
    /// # Errors
    /// [`DataError`]: there are no class folders, or some have no images, differ only in case, are not named in
    /// UTF-8 or are not in `classes`.
    pub fn dataset(&self, split: Option<&str>, classes: Option<&[String]>) -> Result<TarDataset, DataError> {
        let mut by_class: BTreeMap<String, Vec<&Entry>> = BTreeMap::new();
        for entry in &self.entries {
            let below = match split {
                Some(split) => entry.name.strip_prefix(split).ok(),
                None => Some(&*entry.name),
            };
            if let Some((class, _)) = below.and_then(split_first) {
                by_class
                    .entry(class_name(&self.path, class)?)
                    .or_default()
                    .push(entry);
            }
        }
        if by_class.is_empty() {
            return Err(DataError::NoClasses {
                path: self.path.join(split.unwrap_or_default()),
                found: match self.entries.len() {
                    0 => "no images".to_owned(),
                    1 => "1 image elsewhere".to_owned(),
                    count => format!("{count} images elsewhere"),
                },
            });
        }
        let below = self.folders.iter().filter_map(|folder| match split {
            Some(split) => folder.strip_prefix(split).ok(),
            None => Some(folder),
        });
        let mut empty = BTreeSet::new();
        for class in below.filter_map(|folder| folder.iter().next()) {
            empty.insert(class_name(&self.path, class)?);
        }
        empty.retain(|class| !by_class.contains_key(class));
        if !empty.is_empty() {
            return Err(DataError::EmptyClasses {
                path: self.path.join(split.unwrap_or_default()),
                classes: NameList::from_iter(empty),
            });
        }
        let classes = Classes::choose(&self.path, by_class.keys().cloned().collect(), classes)?;
        let labelled = by_class.into_iter().filter_map(|(name, entries)| {
            let label = classes.label(&name)?;
            Some(entries.into_iter().map(move |entry| (entry.clone(), label)))
        });
        let entries = labelled.flatten().collect();
        Ok(TarDataset {
            path: Arc::clone(&self.path),
            file: Arc::clone(&self.file),
            classes: classes.into_names(),
            entries,
        })
    }
}

/// Images in a tar archive, which is not unpacked: each image is read from its position in the file.
#[derive(Debug)]
pub struct TarDataset {
    path: Arc<Path>,
    file: Arc<File>,
    classes: Vec<String>,
    entries: Vec<(Entry, usize)>,
}

impl Dataset for TarDataset {
    fn len(&self) -> usize {
        self.entries.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> usize {
        self.entries[index].1
    }

    fn name(&self, index: usize) -> String {
        let entry = &self.entries[index].0;
        format!("{}:{}", self.path.display(), entry.name.display())
    }

    fn image(&self, index: usize) -> Result<Image, BoxError> {
        let entry = &self.entries[index].0;
        let name = self.name(index);
        let options = DecodeOptions::default();
        if entry.size > options.max_memory {
            return Err(Box::new(effnet_image::ImageError::FileTooLarge {
                file: name,
                limit: options.max_memory,
            }));
        }
        let mut bytes = vec![0; entry.size as usize];
        read_exact_at(&self.file, &mut bytes, entry.offset).map_err(|source| DataError::Read {
            path: name.clone().into(),
            source,
        })?;
        Ok(Image::decode_with(&bytes, &name, &options)?)
    }
}

fn damaged(path: &Path, found: impl Into<String>) -> DataError {
    DataError::Archive {
        path: path.to_owned(),
        found: found.into(),
    }
}

fn refuse_compressed(path: &Path, file: &File) -> Result<(), DataError> {
    const MAGICS: [(&[u8], &str); 4] = [
        (&[0x1F, 0x8B], "gzip"),
        (b"BZh", "bzip2"),
        (&[0xFD, b'7', b'z', b'X', b'Z'], "xz"),
        (&[0x28, 0xB5, 0x2F, 0xFD], "zstd"),
    ];
    let mut head = [0; 5];
    // The tar reader refuses shorter files.
    if read_exact_at(file, &mut head, 0).is_err() {
        return Ok(());
    }
    match MAGICS.iter().find(|(magic, _)| head.starts_with(magic)) {
        Some((_, name)) => {
            let found =
                format!("{name} compression, which prevents random access; decompress the file first");
            Err(damaged(path, found))
        }
        None => Ok(()),
    }
}

/// The content of an archive.
struct Listing {
    entries: Vec<Entry>,
    folders: BTreeSet<PathBuf>,
}

/// Lists the images and folders of the archive.
fn list(path: &Path, file: &File, length: u64) -> Result<Listing, DataError> {
    let failed = |error: std::io::Error| damaged(path, format!("{error}"));
    let mut archive = tar::Archive::new(file);
    let (mut entries, mut folders) = (Vec::new(), BTreeSet::new());
    for entry in archive.entries_with_seek().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.header().entry_type();
        let Some(name) = visible(&entry.path().map_err(failed)?) else {
            continue;
        };
        if kind.is_dir() {
            folders.insert(name);
            continue;
        }
        folders.extend(name.parent().map(Path::to_owned));
        if !kind.is_file() || !is_image_path(&name) {
            continue;
        }
        let (offset, size) = (entry.raw_file_position(), entry.size());
        if offset.checked_add(size).is_none_or(|end| end > length) {
            let name = name.display();
            return Err(damaged(path, format!("one truncated in {name} at byte {length}")));
        }
        entries.push(Entry { name, offset, size });
    }
    folders.remove(Path::new(""));
    Ok(Listing { entries, folders })
}

/// The path without `.` and `..` components; `None` if it is hidden or empty.
fn visible(path: &Path) -> Option<PathBuf> {
    let normal = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        _ => None,
    });
    let name: PathBuf = normal.collect();
    let hidden = name.iter().any(is_hidden);
    (!hidden && !name.as_os_str().is_empty()).then_some(name)
}

/// The first component of a path with more than one.
fn split_first(path: &Path) -> Option<(&OsStr, &Path)> {
    let mut components = path.components();
    let first = components.next()?;
    let rest = components.as_path();
    (!rest.as_os_str().is_empty()).then_some((first.as_os_str(), rest))
}

/// Strips the top-level folders that all entries share, as long as class folders remain. Drops images next to
/// the class folders: they have no class.
fn strip_common_folder(entries: &mut Vec<Entry>, folders: &mut BTreeSet<PathBuf>) {
    loop {
        let first = entries.first().and_then(|entry| entry.name.iter().next());
        let Some(common) = first.map(OsStr::to_owned) else {
            return;
        };
        let shared = entries.iter().all(|entry| entry.name.starts_with(&common));
        let deep = |entry: &Entry| entry.name.iter().count() > 2;
        if !shared || !entries.iter().any(deep) {
            return;
        }
        entries.retain(deep);
        let below = |name: &Path| name.iter().skip(1).collect::<PathBuf>();
        for entry in &mut *entries {
            entry.name = below(&entry.name);
        }
        *folders = folders.iter().map(|folder| below(folder)).collect();
        folders.remove(Path::new(""));
    }
}
