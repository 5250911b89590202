//! Data sets in a tar archive, read without unpacking it.
//!
//! Many data sets are distributed as tar, and one large file is far quicker to copy and to open than a
//! million small ones. The headers are read once; after that, each image is one positional read, from any
//! thread and in any order. This requires an uncompressed archive, so a compressed one is rejected with
//! advice on what to do.

mod headers;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use effnet_image::{DecodeOptions, Image, is_hidden, is_image_path, unsupported_kind};

use super::class_folders;
use super::classes::{Classes, class_name};
use super::layout::{Content, Folder, Layout, Tree};
use super::notice::Notice;
use super::positional::read_exact_at;
use super::{BoxError, DataError, Dataset, NameList};
use headers::{Headers, Member};

/// Maximum number of nested folders around all others that are stripped.
const MOST_COMMON: usize = 8;

/// The index of the images in a tar archive, from which [`TarDataset`]s are created.
///
/// Entries are `CLASS/FILE`, or `train/CLASS/FILE` and `val/CLASS/FILE`, at any depth below (see
/// [`Splits::open`](crate::Splits::open) for the names of parts); a common top-level folder is ignored.
/// Hidden files, files without an image extension and links are skipped.
#[derive(Debug)]
pub struct TarArchive {
    path: Arc<Path>,
    file: Arc<File>,
    entries: Vec<Entry>,
    /// All folders that contain anything, images or not, under the same names as in the entries.
    folders: BTreeSet<PathBuf>,
    layout: Layout,
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
            unsupported,
        } = list(path, &file, length)?;
        let loose = strip_common_folder(&mut entries, &mut folders);
        entries.sort_by(|left, right| bytes(&left.name).cmp(bytes(&right.name)));
        let mut layout = Layout::of(&Members { entries: &entries }, Path::new(""), path)?;
        layout.notices.extend(Notice::loose_images(path, loose));
        layout.notices.extend(Notice::unsupported(&unsupported));
        Ok(Self {
            path: path.into(),
            file: Arc::new(file),
            entries,
            folders,
            layout,
        })
    }

    /// Returns the location of the images, and the role of each folder.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Returns the images of the class folders in `split`, or of the top-level class folders if `None`.
    ///
    /// Labels are indices into `classes` or, if that is `None`, into the sorted names of the class folders.
    ///
    /// # Errors
    /// [`DataError`]: there are no class folders, or some have no images, differ only in case, are not named in
    /// UTF-8 or are not in `classes`.
    pub fn dataset(&self, split: Option<&str>, classes: Option<&[String]>) -> Result<TarDataset, DataError> {
        self.images(split.map_or(&*self.layout.root, Path::new), classes)
    }

    /// Like [`TarArchive::dataset`], for the class folders in the folder `root` of the archive.
    pub(crate) fn images(&self, root: &Path, classes: Option<&[String]>) -> Result<TarDataset, DataError> {
        let mut by_class: BTreeMap<String, Vec<&Entry>> = BTreeMap::new();
        for entry in &self.entries {
            let below = entry.name.strip_prefix(root).ok();
            if let Some((class, _)) = below.and_then(split_first) {
                by_class
                    .entry(class_name(&self.path, class)?)
                    .or_default()
                    .push(entry);
            }
        }
        if by_class.is_empty() {
            return Err(DataError::NoClasses {
                path: self.path.join(root),
                found: match self.entries.len() {
                    0 => "no images".to_owned(),
                    1 => "1 image elsewhere".to_owned(),
                    count => format!("{count} images elsewhere"),
                },
            });
        }
        let below = self
            .folders
            .iter()
            .filter_map(|folder| folder.strip_prefix(root).ok());
        let mut empty = BTreeSet::new();
        for class in below.filter_map(|folder| folder.iter().next()) {
            empty.insert(class_name(&self.path, class)?);
        }
        empty.retain(|class| !by_class.contains_key(class));
        if !empty.is_empty() {
            return Err(DataError::EmptyClasses {
                path: self.path.join(root),
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

impl TarDataset {
    /// Returns what looks wrong about the class folders in the folder `root` of the archive. The folder must
    /// already have been opened.
    pub(crate) fn notices(&self, root: &Path) -> Vec<Notice> {
        let below = self.entries.iter().filter_map(|(entry, label)| {
            let mut components = entry.name.strip_prefix(root).ok()?.iter().skip(1);
            let first = components.next()?;
            components.next().is_some().then_some((*label, first))
        });
        class_folders::notices(&self.classes, below)
    }
}

/// The folders of an archive. The entries are sorted by the bytes of their names, so all entries below a
/// folder are adjacent.
struct Members<'a> {
    entries: &'a [Entry],
}

impl Members<'_> {
    fn below(&self, folder: &Path) -> &[Entry] {
        if folder.as_os_str().is_empty() {
            return self.entries;
        }
        let prefix = [bytes(folder), std::path::MAIN_SEPARATOR_STR.as_bytes()].concat();
        let start = self
            .entries
            .partition_point(|entry| bytes(&entry.name) < &prefix[..]);
        let count = self.entries[start..].partition_point(|entry| bytes(&entry.name).starts_with(&prefix));
        &self.entries[start..start + count]
    }
}

impl Tree for Members<'_> {
    fn content(&self, folder: &Path) -> Result<Content, DataError> {
        let mut content = Content::default();
        let mut names = BTreeSet::new();
        for entry in self.below(folder) {
            match entry.name.strip_prefix(folder).ok().map(split_first) {
                Some(Some((name, _))) => {
                    names.insert(name);
                }
                _ => content.images += 1,
            }
        }
        content.folders = names
            .into_iter()
            .map(|name| Folder {
                // A name that is not UTF-8 is reported when it turns out to be a class.
                name: name.to_string_lossy().into_owned(),
                path: folder.join(name),
            })
            .collect();
        Ok(content)
    }

    fn has_images(&self, folder: &Path) -> bool {
        !self.below(folder).is_empty()
    }
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
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
    // The tar reader rejects shorter files.
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
    /// The number of files of each unsupported kind of image.
    unsupported: BTreeMap<&'static str, usize>,
}

/// Lists the images and folders of the archive.
fn list(path: &Path, file: &File, length: u64) -> Result<Listing, DataError> {
    let mut headers = Headers::new(path, file, length);
    let (mut entries, mut folders) = (Vec::new(), BTreeSet::new());
    let mut unsupported = BTreeMap::new();
    while let Some(Member {
        name,
        kind,
        offset,
        size,
    }) = headers.next()?
    {
        let Some(name) = visible(&name) else {
            continue;
        };
        if kind.is_dir() {
            folders.insert(name);
            continue;
        }
        folders.extend(name.parent().map(Path::to_owned));
        if !kind.is_file() {
            continue;
        }
        if is_image_path(&name) {
            entries.push(Entry { name, offset, size });
        } else if let Some(kind) = unsupported_kind(&name) {
            *unsupported.entry(kind).or_insert(0) += 1;
        }
    }
    folders.remove(Path::new(""));
    Ok(Listing {
        entries,
        folders,
        unsupported,
    })
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
fn split_first(path: &Path) -> Option<(&OsStr, &Path)> {
    let mut components = path.components();
    let first = components.next()?;
    let rest = components.as_path();
    (!rest.as_os_str().is_empty()).then_some((first.as_os_str(), rest))
}

/// Strips the top-level folders that all entries share, as long as class folders remain. Drops images next to
/// the class folders, which have no class, and returns their number.
fn strip_common_folder(entries: &mut Vec<Entry>, folders: &mut BTreeSet<PathBuf>) -> usize {
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
