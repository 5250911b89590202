//! The data set at a path, of whatever kind, and its parts.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use effnet_architecture::Task;

#[cfg(feature = "archives")]
use crate::Archive;
use crate::folder::{Disk, table_in};
use crate::layout::Layout;
use crate::notice::Notice;
use crate::role::Role;
use crate::table::{KnownColumns, Table};
use crate::{DataError, Dataset, ImageFolder};

/// The data set at a path.
pub(super) enum Source {
    Folder {
        top: PathBuf,
        layout: Layout,
        task: Task,
        reason: Option<String>,
        /// What is known of the columns of a table in the folder.
        known: KnownColumns,
        /// A notice if the classes in that table may be quantities.
        quantities: Option<Notice>,
    },
    Table(Box<Table>),
    #[cfg(feature = "archives")]
    Archive(Archive),
}

/// The parts of a data set.
pub(super) struct Parts {
    pub(super) train: Option<Part>,
    pub(super) val: Option<Part>,
    pub(super) test: Option<Part>,
}

/// A part of a data set, or the whole data set.
pub(super) struct Part {
    /// The name that users give it; `None` for the whole data set.
    pub(super) name: Option<String>,
    place: Place,
}

enum Place {
    /// The folder with the class folders, on disk or in an archive.
    Folder(PathBuf),
    /// The rows of a part, or all rows.
    Rows(Option<Role>),
}

impl Part {
    /// Creates the part that is all there is at `path`.
    pub(super) fn whole(path: &Path) -> Self {
        Self {
            name: None,
            place: Place::Folder(path.to_owned()),
        }
    }

    pub(super) fn name(&self) -> String {
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
    pub(super) fn open(path: &Path, task: Option<Task>, known: &KnownColumns) -> Result<Self, DataError> {
        let metadata = fs::metadata(path).map_err(|source| DataError::Read {
            path: path.to_owned(),
            source,
        })?;
        if metadata.is_dir() {
            return Self::folder(path, task, known);
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
            Some("csv" | "tsv" | "jsonl") => Ok(Self::Table(Box::new(Table::open(path, task, known)?))),
            // This includes compressed archives, whose error says what to do.
            #[cfg(feature = "archives")]
            Some("tar" | "zip" | "tgz" | "txz" | "tbz2" | "gz" | "xz" | "bz2" | "zst") => {
                let archive = Archive::open(path)?;
                no_columns(path, known)?;
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
    fn folder(path: &Path, task: Option<Task>, known: &KnownColumns) -> Result<Self, DataError> {
        let layout = Layout::of(&Disk, path, path)?;
        let of_training = layout.parts.as_ref().and_then(|parts| parts.train.as_ref());
        let table = table_in(of_training.unwrap_or(&layout.root))?;
        let (task, reason, quantities) = match (task, table) {
            (Some(Task::Classify), _) | (None, None) => (Task::Classify, None, None),
            (None, Some(table)) => {
                let table = Table::open(&table, None, known)?;
                let reason = table.reason().map(str::to_owned);
                (table.task(), reason, table.quantities())
            }
            (Some(task), Some(_)) => (task, None, None),
            (Some(task), None) => {
                only_classes(path, task)?;
                (task, None, None)
            }
        };
        Ok(Self::Folder {
            top: path.to_owned(),
            layout,
            task,
            reason,
            known: known.clone(),
            quantities,
        })
    }

    /// Returns a notice if the classes in a table may be quantities.
    pub(super) fn quantities(&self) -> Option<Notice> {
        match self {
            Self::Folder { quantities, .. } => quantities.clone(),
            Self::Table(table) => table.quantities(),
            #[cfg(feature = "archives")]
            Self::Archive(_) => None,
        }
    }

    /// Refuses data without a table, whose images have no groups, and data that are split already.
    pub(super) fn check_grouped(&self, path: &Path, column: &str) -> Result<(), DataError> {
        let wrong = |found: String| {
            Err(DataError::GroupColumn {
                path: path.to_owned(),
                column: column.to_owned(),
                found,
            })
        };
        let is_table = match self {
            Self::Table(_) => true,
            Self::Folder { layout, .. } => {
                let train = layout.parts.as_ref().and_then(|parts| parts.train.as_ref());
                table_in(train.unwrap_or(&layout.root))?.is_some()
            }
            #[cfg(feature = "archives")]
            Self::Archive(_) => false,
        };
        if !is_table {
            return wrong("class folders; list the images in a CSV file with this column".to_owned());
        }
        let Parts { val, test, .. } = self.parts();
        match val.or(test) {
            Some(part) => wrong(format!(
                "that it is split already ({}); omit the column to use that split",
                part.name()
            )),
            None => Ok(()),
        }
    }

    /// What the labels are for.
    pub(super) fn task(&self) -> Task {
        match self {
            Self::Folder { task, .. } => *task,
            Self::Table(table) => table.task(),
            #[cfg(feature = "archives")]
            Self::Archive(_) => Task::Classify,
        }
    }

    pub(super) fn task_reason(&self) -> Option<String> {
        match self {
            Self::Folder { reason, .. } => reason.clone(),
            Self::Table(table) => table.reason().map(str::to_owned),
            #[cfg(feature = "archives")]
            Self::Archive(_) => None,
        }
    }

    pub(super) fn parts(&self) -> Parts {
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
    pub(super) fn dataset(
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
            (Self::Folder { top, task, known, .. }, place) => {
                let folder = match place {
                    Place::Folder(folder) => folder,
                    Place::Rows(_) => top,
                };
                on_disk(folder, classes, *task, known)?
            }
        })
    }

    pub(super) fn notices(&self) -> Vec<Notice> {
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

/// Refuses folders of classes for a caller that names the columns of the labels.
fn no_columns(path: &Path, known: &KnownColumns) -> Result<(), DataError> {
    match known.labels.first() {
        None => Ok(()),
        Some(column) => Err(DataError::LabelColumn {
            path: path.to_owned(),
            column: column.clone(),
            found: "class folders".to_owned(),
            is_table: false,
        }),
    }
}

/// Opens the images in the class folders of `folder`, or in the table that comes with a folder of images.
fn on_disk(
    folder: &Path,
    classes: Option<&[String]>,
    task: Task,
    known: &KnownColumns,
) -> Result<(Arc<dyn Dataset>, Vec<Notice>), DataError> {
    if let Some(table) = table_in(folder)? {
        let table = Table::open(&table, Some(task), known)?;
        return Ok((Arc::new(table.dataset(None, classes)?), table.notices().to_vec()));
    }
    only_classes(folder, task)?;
    no_columns(folder, known)?;
    let images = match classes {
        Some(classes) => ImageFolder::with_classes(folder, classes)?,
        None => ImageFolder::open(folder)?,
    };
    let notices = images.notices(folder);
    Ok((Arc::new(images), notices))
}
