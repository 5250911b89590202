//! Opens a data set from a path: a folder, a table or an archive.
//!
//! Users pass a path, not a format. Training ([`Splits::open`]) and evaluation ([`Evaluation::open`]) share
//! the detection, so that a path that can be trained on can also be evaluated. They differ in which part they
//! use and whose class list determines the labels.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use effnet_architecture::Task;

#[cfg(feature = "archives")]
use super::Archive;
use super::folder::{Disk, table_in};
use super::layout::Layout;
use super::notice::{Notice, Reading};
use super::role::Role;
use super::table::Table;
use super::{DataError, Dataset, ImageFolder, stratified_split};

/// Training and validation data.
#[derive(Clone)]
pub struct Splits {
    /// The training images.
    pub train: Arc<dyn Dataset>,
    /// The validation images, with the classes of `train`; `None` if the data set has no validation part.
    pub val: Option<Arc<dyn Dataset>>,
    /// The test images, with the classes of `train`: only after [`Splits::open_all`], and only if the data set has some
    /// with labels.
    pub test: Option<Arc<dyn Dataset>>,
    /// Which folders or rows were used, and what was not used.
    pub reading: Reading,
}

impl Splits {
    /// Opens a folder of class folders, a folder that contains `train/` and, for validation, `val/` or
    /// `test/` with class folders in them, a CSV file, a JSON Lines file, or a tar or zip archive with either
    /// layout of folders.
    ///
    /// Parts may have other common names (`Training`, `valid`, `dev`, `Testing`, `seg_train`, `test_set`, a
    /// column `split` in a table). If several are suitable for validation, the first of `val`, `valid`,
    /// `validation`, `dev` and `test` is used. A folder that contains only one folder is replaced by that
    /// folder. [`Splits::reading`] says what was found.
    ///
    /// # Errors
    /// [`DataError`]: the path does not exist, has fewer than two classes, or is not a valid data set of its
    /// kind.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        Self::open_for(path, Some(Task::Classify))
    }

    /// Like [`Splits::open`], for any task. Without a `task`, the labels in a table decide: numbers with fractions are for
    /// regression, several labels for one image (`cat;dog`, several columns, several ones in one-hot columns) are
    /// multilabel, and anything else is classification. [`Reading::task_reason`] says which it was.
    ///
    /// # Errors
    /// Same as [`Splits::open`], and [`DataError::Task`] for class folders and another task.
    pub fn open_for(path: impl AsRef<Path>, task: Option<Task>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let source = Source::open(path, task)?;
        let Parts { train, val, test } = source.parts();
        let parts = Parts {
            train,
            val: val.or(test),
            test: None,
        };
        Self::of(&source, parts, path)
    }

    /// Like [`Splits::open`], but opens the validation images and the test images, each for itself: nothing is trained or
    /// evaluated, so that neither is preferred.
    ///
    /// # Errors
    /// Same as [`Splits::open`].
    pub fn open_all(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let source = Source::open(path, Some(Task::Classify))?;
        let mut splits = Self::of(&source, source.parts(), path)?;
        let notices = &mut splits.reading.notices;
        notices.retain(|notice| !matches!(notice, Notice::UnusedTest { .. }));
        Ok(splits)
    }

    /// Opens the images of these parts.
    fn of(source: &Source, parts: Parts, path: &Path) -> Result<Self, DataError> {
        let Parts { train, val, test } = parts;
        let train = train.ok_or_else(|| DataError::NoTraining {
            path: path.to_owned(),
            found: val
                .as_ref()
                .or(test.as_ref())
                .map_or_else(|| "none".to_owned(), Part::name),
        })?;
        let (images, class_notices) = source.dataset(&train, None)?;
        let of_part = |part: &Option<Part>| -> Result<Option<Arc<dyn Dataset>>, DataError> {
            let part = part.as_ref();
            let opened = part.map(|part| source.dataset(part, Some(images.classes())));
            Ok(opened.transpose()?.map(|(images, _)| images))
        };
        let (val_images, test_images) = (of_part(&val)?, of_part(&test)?);
        if let ([class], Task::Classify) = (images.classes(), images.task()) {
            return Err(DataError::OneClass {
                path: path.to_owned(),
                class: class.clone(),
            });
        }
        Ok(Self {
            train: images,
            val: val_images,
            test: test_images,
            reading: Reading {
                task: source.task(),
                task_reason: source.task_reason(),
                train: train.name,
                val: val.and_then(|val| val.name),
                test: test.and_then(|test| test.name),
                notices: [source.notices(), class_notices].concat(),
            },
        })
    }

    /// Holds out `val_fraction` of `train` for validation unless there is already a validation split; see
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
            test: self.test,
            reading: self.reading,
        }
    }
}

impl std::fmt::Debug for Splits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Splits")
            .field("train", &self.train.len())
            .field("val", &self.val.as_ref().map(Dataset::len))
            .field("test", &self.test.as_ref().map(Dataset::len))
            .field("classes", &self.train.classes())
            .field("reading", &self.reading)
            .finish()
    }
}

/// Labelled images for evaluation.
#[derive(Clone)]
pub struct Evaluation {
    /// The images.
    pub images: Arc<dyn Dataset>,
    /// Which folder or rows were used: `val`, or `train` if there is nothing else.
    pub reading: Reading,
}

impl Evaluation {
    /// Like [`Splits::open`], but uses the validation part if the data set is split, and the training part if
    /// that is the only one.
    ///
    /// Labels are indices into `classes`, the classes of the network, or, if that is `None`, into the sorted
    /// names of the classes found. A single class is enough.
    ///
    /// # Errors
    /// Same as [`Splits::open`], and [`DataError::UnknownClasses`].
    pub fn open(path: impl AsRef<Path>, classes: Option<&[String]>) -> Result<Self, DataError> {
        Self::open_for(path, classes, Some(Task::Classify))
    }

    /// Like [`Evaluation::open`], for any task; see [`Splits::open_for`].
    ///
    /// # Errors
    /// Same as [`Evaluation::open`], and [`DataError::Task`] for class folders and another task.
    pub fn open_for(
        path: impl AsRef<Path>,
        classes: Option<&[String]>,
        task: Option<Task>,
    ) -> Result<Self, DataError> {
        let path = path.as_ref();
        let source = Source::open(path, task)?;
        let Parts { train, val, test } = source.parts();
        let val = val.or(test);
        let whole = || Part {
            name: None,
            place: Place::Folder(path.to_owned()),
        };
        let (train, val) = if val.is_some() { (None, val) } else { (train, None) };
        let (images, class_notices) = match (&train, &val) {
            (Some(part), _) | (None, Some(part)) => source.dataset(part, classes)?,
            (None, None) => source.dataset(&whole(), classes)?,
        };
        Ok(Self {
            images,
            reading: Reading {
                task: source.task(),
                task_reason: source.task_reason(),
                train: train.and_then(|part| part.name),
                val: val.and_then(|part| part.name),
                test: None,
                notices: [source.notices(), class_notices].concat(),
            },
        })
    }
}

impl std::fmt::Debug for Evaluation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Evaluation")
            .field("images", &self.images.len())
            .field("reading", &self.reading)
            .finish()
    }
}

/// Opens the images of [`Evaluation::open`].
///
/// # Errors
/// Same as [`Evaluation::open`].
pub fn open_evaluation(
    path: impl AsRef<Path>,
    classes: Option<&[String]>,
) -> Result<Arc<dyn Dataset>, DataError> {
    Ok(Evaluation::open(path, classes)?.images)
}

/// The data set at a path.
enum Source {
    Folder {
        top: PathBuf,
        layout: Layout,
        task: Task,
        reason: Option<String>,
    },
    Table(Box<Table>),
    #[cfg(feature = "archives")]
    Archive(Archive),
}

/// The parts of a data set.
struct Parts {
    train: Option<Part>,
    val: Option<Part>,
    test: Option<Part>,
}

/// A part of a data set, or the whole data set.
struct Part {
    /// The name that users give it; `None` for the whole data set.
    name: Option<String>,
    place: Place,
}

enum Place {
    /// The folder with the class folders, on disk or in an archive.
    Folder(PathBuf),
    /// The rows of a part, or all rows.
    Rows(Option<Role>),
}

impl Part {
    fn name(&self) -> String {
        self.name.clone().unwrap_or_default()
    }

    /// Creates a part from the folder at `path`, named by its path below `top`.
    fn folder(top: &Path, path: &Path) -> Self {
        let below = path.strip_prefix(top).unwrap_or(path);
        let is_top = below.as_os_str().is_empty();
        Self {
            name: (!is_top).then(|| format!("{}/", below.display())),
            place: Place::Folder(path.to_owned()),
        }
    }
}

impl Source {
    fn open(path: &Path, task: Option<Task>) -> Result<Self, DataError> {
        let metadata = fs::metadata(path).map_err(|source| DataError::Read {
            path: path.to_owned(),
            source,
        })?;
        if metadata.is_dir() {
            return Self::folder(path, task);
        }
        let unknown = |found: String| DataError::UnknownKind {
            path: path.to_owned(),
            found,
        };
        // Opening a pipe would wait for a writer.
        if !metadata.is_file() {
            return Err(unknown("a pipe or a device".to_owned()));
        }
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        match extension.to_str() {
            Some("csv" | "tsv" | "jsonl") => Ok(Self::Table(Box::new(Table::open(path, task)?))),
            // This includes compressed archives, whose error says what to do.
            #[cfg(feature = "archives")]
            Some("tar" | "zip" | "tgz" | "txz" | "tbz2" | "gz" | "xz" | "bz2" | "zst") => {
                let archive = Archive::open(path)?;
                task.map_or(Ok(()), |task| only_classes(path, task))?;
                Ok(Self::Archive(archive))
            }
            #[cfg(not(feature = "archives"))]
            Some(extension @ ("tar" | "zip" | "tgz" | "txz" | "tbz2" | "gz" | "xz" | "bz2" | "zst")) => {
                Err(unknown(format!(
                    "a .{extension} archive, which this program was built without (feature `archives`)"
                )))
            }
            Some(extension @ ("7z" | "rar")) => Err(unknown(format!(
                "a .{extension} archive; unpack it first and pass the folder"
            ))),
            _ => Err(unknown(format!(
                "a different kind of file (.{})",
                extension.display()
            ))),
        }
    }

    /// Opens a folder. The tables in it, if any, decide on the task.
    fn folder(path: &Path, task: Option<Task>) -> Result<Self, DataError> {
        let layout = Layout::of(&Disk, path, path)?;
        let of_training = layout.parts.as_ref().and_then(|parts| parts.train.as_ref());
        let table = table_in(of_training.unwrap_or(&layout.root))?;
        let (task, reason) = match (task, table) {
            (Some(Task::Classify), _) | (None, None) => (Task::Classify, None),
            (None, Some(table)) => {
                let table = Table::open(&table, None)?;
                (table.task(), table.reason().map(str::to_owned))
            }
            (Some(task), Some(_)) => (task, None),
            (Some(task), None) => {
                only_classes(path, task)?;
                (task, None)
            }
        };
        Ok(Self::Folder {
            top: path.to_owned(),
            layout,
            task,
            reason,
        })
    }

    /// What the labels are for.
    fn task(&self) -> Task {
        match self {
            Self::Folder { task, .. } => *task,
            Self::Table(table) => table.task(),
            #[cfg(feature = "archives")]
            Self::Archive(_) => Task::Classify,
        }
    }

    fn task_reason(&self) -> Option<String> {
        match self {
            Self::Folder { reason, .. } => reason.clone(),
            Self::Table(table) => table.reason().map(str::to_owned),
            #[cfg(feature = "archives")]
            Self::Archive(_) => None,
        }
    }

    fn parts(&self) -> Parts {
        match self {
            Self::Folder { top, layout, .. } => parts_of_folder(top, layout),
            #[cfg(feature = "archives")]
            Self::Archive(archive) => parts_of_folder(Path::new(""), archive.layout()),
            Self::Table(table) if table.is_split() => {
                let part = |role| {
                    Some(Part {
                        name: Some(table.part(role)?.to_owned()),
                        place: Place::Rows(Some(role)),
                    })
                };
                Parts {
                    train: part(Role::Train),
                    val: part(Role::Validation),
                    test: part(Role::Test),
                }
            }
            Self::Table(_) => Parts {
                train: Some(Part {
                    name: None,
                    place: Place::Rows(None),
                }),
                val: None,
                test: None,
            },
        }
    }

    /// Returns the images of a part, and what looks wrong about its class folders.
    fn dataset(
        &self,
        part: &Part,
        classes: Option<&[String]>,
    ) -> Result<(Arc<dyn Dataset>, Vec<Notice>), DataError> {
        Ok(match (self, &part.place) {
            (Self::Table(table), Place::Rows(role)) => (Arc::new(table.dataset(*role, classes)?), Vec::new()),
            (Self::Table(table), Place::Folder(_)) => (Arc::new(table.dataset(None, classes)?), Vec::new()),
            #[cfg(feature = "archives")]
            (Self::Archive(archive), Place::Folder(folder)) => {
                let images = archive.images(folder, classes)?;
                let notices = images.notices(folder);
                (Arc::new(images), notices)
            }
            #[cfg(feature = "archives")]
            (Self::Archive(archive), Place::Rows(_)) => {
                (Arc::new(archive.dataset(None, classes)?), Vec::new())
            }
            (Self::Folder { top, task, .. }, place) => {
                let folder = match place {
                    Place::Folder(folder) => folder,
                    Place::Rows(_) => top,
                };
                on_disk(folder, classes, *task)?
            }
        })
    }

    fn notices(&self) -> Vec<Notice> {
        match self {
            Self::Folder { layout, .. } => layout.notices.clone(),
            #[cfg(feature = "archives")]
            Self::Archive(archive) => archive.layout().notices.clone(),
            Self::Table(table) => table.notices().to_vec(),
        }
    }
}

fn parts_of_folder(top: &Path, layout: &Layout) -> Parts {
    match &layout.parts {
        Some(parts) => {
            let part = |path: &Option<PathBuf>| path.as_ref().map(|path| Part::folder(top, path));
            Parts {
                train: part(&parts.train),
                val: part(&parts.val),
                test: part(&parts.test),
            }
        }
        None => Parts {
            train: Some(Part::folder(top, &layout.root)),
            val: None,
            test: None,
        },
    }
}

/// Refuses folders of classes for a task that needs more than one class per image.
fn only_classes(path: &Path, task: Task) -> Result<(), DataError> {
    let expected = match task {
        Task::Classify => return Ok(()),
        Task::MultiLabel => "a CSV or JSON Lines file with the labels of each image",
        Task::Regression => "a CSV or JSON Lines file with the numbers of each image",
    };
    Err(DataError::Task {
        path: path.to_owned(),
        task,
        expected,
        found: "class folders",
    })
}

/// Opens the images in the class folders of `folder`, or in the table that comes with a folder of images.
fn on_disk(
    folder: &Path,
    classes: Option<&[String]>,
    task: Task,
) -> Result<(Arc<dyn Dataset>, Vec<Notice>), DataError> {
    if let Some(table) = table_in(folder)? {
        let table = Table::open(&table, Some(task))?;
        return Ok((Arc::new(table.dataset(None, classes)?), table.notices().to_vec()));
    }
    only_classes(folder, task)?;
    let images = match classes {
        Some(classes) => ImageFolder::with_classes(folder, classes)?,
        None => ImageFolder::open(folder)?,
    };
    let notices = images.notices(folder);
    Ok((Arc::new(images), notices))
}
