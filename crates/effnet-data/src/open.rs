//! From a path to data sets, whatever kind of data is there.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use effnet_image::{is_hidden, is_image_path};

use super::layout::Parts;
use super::{CsvDataset, DataError, Dataset, ImageFolder, TarArchive, stratified_split};

/// The data of a training.
#[derive(Clone)]
pub struct Splits {
    /// What is trained on.
    pub train: Arc<dyn Dataset>,
    /// What is checked with, with the classes of `train`; `None` when the data were not parted.
    pub val: Option<Arc<dyn Dataset>>,
}

impl Splits {
    /// Opens a folder of class folders, a folder with `train/` and one of `val/`, `valid/`,
    /// `validation/`, `test/` of these, a CSV file, or a tar archive with either layout.
    ///
    /// # Errors
    /// [`DataError`]: there is no such thing, it has fewer than two classes, or what the kinds of data
    /// sets say.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let splits = match Source::open(path)? {
            Source::Parted(folders) => {
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
            Source::Tar(archive) => match archive.parts() {
                Some(parts) => {
                    let part = parts.train.as_deref().unwrap_or("train");
                    let train = archive.dataset(Some(part), None)?;
                    let val = parts.val.as_deref();
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

    /// Takes a part to check with out of `train` when there is none, see [`stratified_split`].
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

/// Opens the images to evaluate on: as [`Splits::open`], but of parted data the part to check with,
/// else the one to train on.
///
/// Labels are positions in `classes`, those of the network, or, without these, in the sorted names of
/// the classes found. One class is enough.
///
/// # Errors
/// As [`Splits::open`], and [`DataError::UnknownClasses`].
pub fn open_evaluation(
    path: impl AsRef<Path>,
    classes: Option<&[String]>,
) -> Result<Arc<dyn Dataset>, DataError> {
    let folder = |root: PathBuf| match classes {
        Some(classes) => ImageFolder::with_classes(root, classes),
        None => ImageFolder::open(root),
    };
    Ok(match Source::open(path.as_ref())? {
        Source::Parted(Parts { train, val }) => {
            let part = val.or(train).unwrap_or_else(|| path.as_ref().to_owned());
            Arc::new(folder(part)?)
        }
        Source::Folder(root) => Arc::new(folder(root)?),
        Source::Csv(file) => match classes {
            Some(classes) => Arc::new(CsvDataset::with_classes(file, classes)?),
            None => Arc::new(CsvDataset::open(file)?),
        },
        Source::Tar(archive) => {
            let part = archive
                .parts()
                .and_then(|parts| parts.val.as_deref().or(parts.train.as_deref()));
            Arc::new(archive.dataset(part, classes)?)
        }
    })
}

/// What a path leads to.
enum Source {
    Parted(Parts<PathBuf>),
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
            return Ok(match Parts::among(&folders, |folder| holds_pictures(folder)) {
                Some(parts) => Self::Parted(parts),
                None => Self::Folder(path.to_owned()),
            });
        }
        match extension.to_str() {
            Some("csv") => Ok(Self::Csv(path.to_owned())),
            // Compressed ones too: their own error says what to do.
            Some("tar" | "tgz" | "gz" | "xz" | "bz2" | "zst") => Ok(Self::Tar(TarArchive::open(path)?)),
            _ => Err(DataError::UnknownKind {
                path: path.to_owned(),
                found: format!("a file of another kind (.{})", extension.display()),
            }),
        }
    }
}

/// The visible folders in a folder; names that are not UTF-8 are none of parts.
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

/// Whether a folder has images that lie directly in it.
fn holds_pictures(folder: &Path) -> bool {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .map(|file| file.path())
        .any(|file| is_image_path(&file) && !file.is_dir())
}

fn shared(dataset: Option<impl Dataset + 'static>) -> Option<Arc<dyn Dataset>> {
    dataset.map(|dataset| Arc::new(dataset) as Arc<dyn Dataset>)
}
