//! Opens a data set from a path: a folder, a CSV file or a tar archive.
//!
//! Users pass a path, not a format. Training ([`Splits::open`]) and evaluation ([`open_evaluation`]) share
//! the detection, so that a path that trains can also be evaluated; they differ in which split they take and
//! whose class list decides the labels.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use effnet_image::{is_hidden, is_image_path};

use super::layout::SplitFolders;
use super::{CsvDataset, DataError, Dataset, ImageFolder, TarArchive, stratified_split};

/// Training and validation data.
#[derive(Clone)]
pub struct Splits {
    /// The training images.
    pub train: Arc<dyn Dataset>,
    /// The validation images, with the classes of `train`; `None` if the data set has no validation split.
    pub val: Option<Arc<dyn Dataset>>,
}

impl Splits {
    /// Opens a folder of class folders, a folder with `train/` and one of `val/`, `valid/`,
    /// `validation/`, `test/` containing class folders, a CSV file, or a tar archive with either layout.
    ///
    /// # Errors
    /// [`DataError`]: the path does not exist, has fewer than two classes, or is not a valid data set of its
    /// kind.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let splits = match Source::open(path)? {
            Source::Presplit(folders) => {
                let train = folders.train.ok_or_else(|| DataError::NoClasses {
                    path: path.to_owned(),
                    found: "no folder `train`".to_owned(),
                })?;
                let train = ImageFolder::open(train)?;
                let val = folders
                    .val
                    .map(|val| ImageFolder::with_classes(val, train.classes()));
                Self {
                    val: shared(val.transpose()?),
                    train: Arc::new(train),
                }
            }
            Source::Folder(root) => Self::whole(ImageFolder::open(root)?),
            Source::Csv(file) => Self::whole(CsvDataset::open(file)?),
            Source::Tar(archive) => match archive.split_folders() {
                Some(folders) => {
                    let train = folders.train.as_deref().unwrap_or("train");
                    let train = archive.dataset(Some(train), None)?;
                    let val = folders.val.as_deref();
                    let val = val.map(|val| archive.dataset(Some(val), Some(train.classes())));
                    Self {
                        val: shared(val.transpose()?),
                        train: Arc::new(train),
                    }
                }
                None => Self::whole(archive.dataset(None, None)?),
            },
        };
        if let [class] = splits.train.classes() {
            return Err(DataError::OneClass {
                path: path.to_owned(),
                class: class.clone(),
            });
        }
        Ok(splits)
    }

    fn whole(dataset: impl Dataset + 'static) -> Self {
        Self {
            train: Arc::new(dataset),
            val: None,
        }
    }

    /// Holds out `val_fraction` of `train` for validation unless there is a validation split already, see
    /// [`stratified_split`].
    #[must_use]
    pub fn or_split(self, val_fraction: f64, seed: u64) -> Self {
        if self.val.is_some() {
            return self;
        }
        let (train, val) = stratified_split(self.train, val_fraction, seed);
        Self {
            train: Arc::new(train),
            val: Some(Arc::new(val)),
        }
    }
}

impl std::fmt::Debug for Splits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Splits")
            .field("train", &self.train.len())
            .field("val", &self.val.as_ref().map(Dataset::len))
            .field("classes", &self.train.classes())
            .finish()
    }
}

/// Opens the images to evaluate on: like [`Splits::open`], but takes the validation split if the data set is
/// split, and the training split if it has no other.
///
/// Labels are indices into `classes`, those of the network, or, if `None`, into the sorted names of the classes
/// found. One class is enough.
///
/// # Errors
/// Same as [`Splits::open`], and [`DataError::UnknownClasses`].
pub fn open_evaluation(
    path: impl AsRef<Path>,
    classes: Option<&[String]>,
) -> Result<Arc<dyn Dataset>, DataError> {
    let folder = |root: PathBuf| match classes {
        Some(classes) => ImageFolder::with_classes(root, classes),
        None => ImageFolder::open(root),
    };
    Ok(match Source::open(path.as_ref())? {
        Source::Presplit(SplitFolders { train, val }) => {
            let split = val.or(train).unwrap_or_else(|| path.as_ref().to_owned());
            Arc::new(folder(split)?)
        }
        Source::Folder(root) => Arc::new(folder(root)?),
        Source::Csv(file) => match classes {
            Some(classes) => Arc::new(CsvDataset::with_classes(file, classes)?),
            None => Arc::new(CsvDataset::open(file)?),
        },
        Source::Tar(archive) => {
            let split = archive
                .split_folders()
                .and_then(|folders| folders.val.as_deref().or(folders.train.as_deref()));
            Arc::new(archive.dataset(split, classes)?)
        }
    })
}

/// The kind of data set at a path.
enum Source {
    Presplit(SplitFolders<PathBuf>),
    Folder(PathBuf),
    Csv(PathBuf),
    Tar(TarArchive),
}

impl Source {
    fn open(path: &Path) -> Result<Self, DataError> {
        let failed = |source| DataError::Read {
            path: path.to_owned(),
            source,
        };
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        if fs::metadata(path).map_err(failed)?.is_dir() {
            let folders = top_folders(path).map_err(failed)?;
            return Ok(
                match SplitFolders::among(&folders, |folder| holds_images(folder)) {
                    Some(folders) => Self::Presplit(folders),
                    None => Self::Folder(path.to_owned()),
                },
            );
        }
        match extension.to_str() {
            Some("csv") => Ok(Self::Csv(path.to_owned())),
            // Compressed archives too: their error says what to do.
            Some("tar" | "tgz" | "gz" | "xz" | "bz2" | "zst") => Ok(Self::Tar(TarArchive::open(path)?)),
            _ => Err(DataError::UnknownKind {
                path: path.to_owned(),
                found: format!("a file of another kind (.{})", extension.display()),
            }),
        }
    }
}

/// The visible subfolders. A lossy conversion of the name is enough: no split has a name that is not UTF-8.
fn top_folders(path: &Path) -> std::io::Result<Vec<(String, PathBuf)>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(path)? {
        let folder = entry?.path();
        let name = folder.file_name().unwrap_or_default();
        if !is_hidden(name) && folder.is_dir() {
            folders.push((name.to_string_lossy().into_owned(), folder));
        }
    }
    Ok(folders)
}

/// Whether a folder directly contains images.
fn holds_images(folder: &Path) -> bool {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .map(|file| file.path())
        .any(|file| is_image_path(&file) && !file.is_dir())
}

fn shared(dataset: Option<impl Dataset + 'static>) -> Option<Arc<dyn Dataset>> {
    dataset.map(|dataset| Arc::new(dataset) as Arc<dyn Dataset>)
}
