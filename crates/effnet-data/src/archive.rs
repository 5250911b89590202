//! Data sets in a tar or zip archive, read without unpacking it.
//!
//! Many data sets are distributed as one file, and one large file is far quicker to copy and to open than a
//! million small ones. The headers are read once; after that, each image is read at its position, from any
//! thread and in any order. This requires that each file is stored or compressed alone, so a compressed tar is
//! rejected with advice on what to do.

mod listing;
mod tar;
mod zip;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use effnet_checkpoint::read_exact_at;
use effnet_image::{DecodeOptions, Image, Needed, PartialImage};

use super::class_folders;
use super::classes::{Classes, class_name};
use super::layout::{Content, Folder, Layout, Tree};
use super::notice::Notice;
use super::{BoxError, DataError, Dataset, NameList};
use listing::{Entry, Listing, split_first};

pub use self::tar::{Forward, TarKind, TarMember, walk_tar};
pub use self::zip::ZipFile;

/// The reason why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The operating system, or the program that decompresses, returned an error.
    #[error("cannot be read")]
    Read(#[source] io::Error),
    /// The archive violates its format.
    #[error("{0}")]
    Damaged(String),
    /// The archive uses this feature, which is not supported.
    #[error("{0} is not supported")]
    Unsupported(String),
}

/// The index of the images in an archive, from which [`ArchiveDataset`]s are created.
///
/// Entries are `CLASS/FILE`, or `train/CLASS/FILE` and `val/CLASS/FILE`, at any depth below (see
/// [`Splits::open`](crate::Splits::open) for the names of parts); a common top-level folder is ignored.
/// Hidden files, files without an image extension and links are skipped.
#[derive(Debug)]
pub struct Archive {
    path: Arc<Path>,
    reader: Arc<Reader>,
    entries: Vec<Entry>,
    /// All folders that contain anything, images or not, under the same names as in the entries.
    folders: BTreeSet<PathBuf>,
    layout: Layout,
}

/// An open archive. Each image is read at its place: its position in a tar, its index in a zip.
#[derive(Debug)]
enum Reader {
    Tar(File),
    Zip(ZipFile),
}

impl Archive {
    /// Opens an archive and reads its headers. It is a zip archive by its first bytes or its extension,
    /// and a tar archive otherwise.
    ///
    /// # Errors
    /// [`DataError::Read`], or [`DataError::Archive`] if it is damaged, truncated or a compressed tar.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let failed = |source| DataError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let mut head = [0; 5];
        // A shorter file is neither, and its reader says so.
        let is_read = read_exact_at(&file, &mut head, 0).is_ok();
        let is_named_zip = path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("zip"));
        let is_zip = is_named_zip || is_read && head.starts_with(b"PK");
        if let Some(format) = compression(&head) {
            return Err(compressed(path, format));
        }
        let opened = if is_zip {
            Listing::of_zip(file).map(|(zip, listing)| (Reader::Zip(zip), listing))
        } else {
            Listing::of_tar(&file, length).map(|listing| (Reader::Tar(file), listing))
        };
        let (reader, mut listing) = opened.map_err(|error| explain(path, error))?;
        let loose = listing.strip_common_folder();
        let Listing {
            mut entries,
            folders,
            unsupported,
        } = listing;
        entries.sort_by(|left, right| bytes(&left.name).cmp(bytes(&right.name)));
        let mut layout = Layout::of(&Members { entries: &entries }, Path::new(""), path)?;
        layout.notices.extend(Notice::loose_images(path, loose));
        layout.notices.extend(Notice::unsupported(&unsupported));
        Ok(Self {
            path: path.into(),
            reader: Arc::new(reader),
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
    pub fn dataset(
        &self,
        split: Option<&str>,
        classes: Option<&[String]>,
    ) -> Result<ArchiveDataset, DataError> {
        self.images(split.map_or(&*self.layout.root, Path::new), classes)
    }

    /// Like [`Archive::dataset`], for the class folders in the folder `root` of the archive.
    pub(crate) fn images(
        &self,
        root: &Path,
        classes: Option<&[String]>,
    ) -> Result<ArchiveDataset, DataError> {
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
        Ok(ArchiveDataset {
            path: Arc::clone(&self.path),
            reader: Arc::clone(&self.reader),
            classes: classes.into_names(),
            entries,
        })
    }
}

/// Images in an archive, which is not unpacked: each image is read from its place in the file.
#[derive(Debug)]
pub struct ArchiveDataset {
    path: Arc<Path>,
    reader: Arc<Reader>,
    classes: Vec<String>,
    entries: Vec<(Entry, usize)>,
}

impl Dataset for ArchiveDataset {
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
        let (name, options) = (self.name(index), DecodeOptions::default());
        let bytes = self.bytes(index, &name, &options)?;
        Ok(Image::decode_with(&bytes, &name, &options)?)
    }

    fn part(
        &self,
        index: usize,
        needed: &dyn Fn(usize, usize) -> Option<Needed>,
    ) -> Result<PartialImage, BoxError> {
        let (name, options) = (self.name(index), DecodeOptions::default());
        let bytes = self.bytes(index, &name, &options)?;
        Ok(PartialImage::decode_with(&bytes, &name, &options, needed)?)
    }
}

impl ArchiveDataset {
    /// Reads an image's file.
    fn bytes(&self, index: usize, name: &str, options: &DecodeOptions) -> Result<Vec<u8>, BoxError> {
        let entry = &self.entries[index].0;
        if entry.size > options.max_memory {
            return Err(Box::new(effnet_image::ImageError::FileTooLarge {
                file: name.to_owned(),
                limit: options.max_memory,
            }));
        }
        let read = self.reader.read(entry.place, entry.size);
        let bytes = read.map_err(|error| match error {
            ArchiveError::Read(source) => DataError::Read {
                path: name.into(),
                source,
            },
            error => explain(&self.path, error),
        })?;
        Ok(bytes)
    }
}

impl Reader {
    fn read(&self, place: u64, size: u64) -> Result<Vec<u8>, ArchiveError> {
        match self {
            Self::Tar(file) => {
                let mut bytes = vec![0; size as usize];
                read_exact_at(file, &mut bytes, place).map_err(ArchiveError::Read)?;
                Ok(bytes)
            }
            Self::Zip(zip) => zip.read(place as usize, size),
        }
    }
}

impl ArchiveDataset {
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

fn explain(path: &Path, error: ArchiveError) -> DataError {
    let path = path.to_owned();
    match error {
        ArchiveError::Read(source) => DataError::Read { path, source },
        ArchiveError::Damaged(what) => DataError::Archive {
            path,
            found: format!("a damaged one ({what}); download or copy it again"),
        },
        ArchiveError::Unsupported(feature) => DataError::Archive {
            path,
            found: format!("an unsupported one ({feature}); unpack it first and pass the folder"),
        },
    }
}

/// Returns the name of the compression that a file begins with.
fn compression(head: &[u8]) -> Option<&'static str> {
    const MAGICS: [(&[u8], &str); 4] = [
        (&[0x1F, 0x8B], "gzip"),
        (b"BZh", "bzip2"),
        (&[0xFD, b'7', b'z', b'X', b'Z'], "xz"),
        (&[0x28, 0xB5, 0x2F, 0xFD], "zstd"),
    ];
    let found = MAGICS.iter().find(|(magic, _)| head.starts_with(magic));
    found.map(|(_, name)| *name)
}

/// Returns the error for a compressed tar, with the command that unpacks it.
fn compressed(path: &Path, format: &str) -> DataError {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = name.split('.').next().filter(|stem| !stem.is_empty());
    let (shown, folder) = (quoted(&path.to_string_lossy()), quoted(folder.unwrap_or("data")));
    DataError::Archive {
        path: path.to_owned(),
        found: format!(
            "{format} compression, whose images can only be read in order; unpack it first with \
             `mkdir {folder} && tar -xf {shown} -C {folder}` and pass the folder {folder}"
        ),
    }
}

/// Quotes a file name for a shell, if it needs quotes.
fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if name.chars().all(is_plain) && !name.starts_with('-') {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', r"'\''"))
    }
}
