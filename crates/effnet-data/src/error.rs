//! Errors from data sets and loaders.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;

use effnet_architecture::Task;
use thiserror::Error;

/// An error of any type.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The reason why a data set cannot be opened or loaded.
///
/// Paths are the ones that the caller passed: a folder, a CSV file or an archive.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file or folder could not be read.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        source: io::Error,
    },

    /// The path is not a supported kind of data set.
    #[error(
        "{}: expected a folder of class folders, a .csv or .jsonl file or a .tar or .zip archive, found {found}",
        path.display()
    )]
    UnknownKind {
        /// The path.
        path: PathBuf,
        /// What was found.
        found: String,
    },

    /// A folder or archive without class folders.
    #[error(
        "{}: expected one folder of images per class, found {found}",
        path.display()
    )]
    NoClasses {
        /// The folder or archive.
        path: PathBuf,
        /// What was found instead.
        found: String,
    },

    /// A data set that is split but has no training part.
    #[error("{}: expected training images, such as a folder train/, found only {found}", path.display())]
    NoTraining {
        /// The data set.
        path: PathBuf,
        /// The parts found.
        found: String,
    },

    /// A data set without a part for testing.
    #[error("{}: expected test images with labels, such as a folder test/ or rows with split = test, found only {found}", path.display())]
    NoTest {
        /// The data set.
        path: PathBuf,
        /// The parts found.
        found: String,
    },

    /// A training set with a single class, from which nothing can be learned.
    #[error(
        "{}: expected two classes or more, found only {class:?}; pass the folder that contains the class folders",
        path.display()
    )]
    OneClass {
        /// The data set.
        path: PathBuf,
        /// The one class.
        class: String,
    },

    /// Class folders without images.
    #[error(
        "{}: expected images ({extensions}) of each class, found none of {classes}; add images or remove the empty class folders",
        path.display(),
        extensions = effnet_image::EXTENSIONS.join(", ")
    )]
    EmptyClasses {
        /// The folder or archive.
        path: PathBuf,
        /// The classes without images.
        classes: NameList,
    },

    /// Class names that differ only in case: some file systems and most people confuse them.
    #[error(
        "{}: expected class names that differ in more than case, found {first:?} and {second:?}; merge or rename them",
        path.display()
    )]
    CaseCollision {
        /// The data set.
        path: PathBuf,
        /// One of the two.
        first: String,
        /// The other.
        second: String,
    },

    /// A class name that is not UTF-8: it could not be written to JSON or CSV.
    #[error("{}: expected class names in UTF-8, found {name:?}; rename it", path.display())]
    ClassName {
        /// The data set.
        path: PathBuf,
        /// The name; the message escapes its invalid bytes.
        name: OsString,
    },

    /// Classes that the network or the training split does not have.
    #[error(
        "{}: expected only classes of the training set ({known} in all), found {unknown}",
        path.display()
    )]
    UnknownClasses {
        /// The data set.
        path: PathBuf,
        /// Number of classes of the training set.
        known: usize,
        /// The other classes found.
        unknown: NameList,
    },

    /// A CSV file in a different format.
    #[error("{}: expected one path and label per line, found {found}", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// What was found, with the line number.
        found: String,
    },

    /// A CSV file without usable columns.
    #[error("{}: expected {expected}, found the columns {found}; rename them to say which is which, or name those \
             of the labels (`--label-column`)", path.display())]
    Columns {
        /// The file.
        path: PathBuf,
        /// The columns that were expected.
        expected: &'static str,
        /// The columns found.
        found: NameList,
    },

    /// Data whose images cannot be grouped by the column that the caller named.
    #[error("{}: expected a table with a column {column:?} and without a split of its own, found {found}", path.display())]
    GroupColumn {
        /// The data set.
        path: PathBuf,
        /// The name of the column.
        column: String,
        /// What was found.
        found: String,
    },

    /// Data without a column of labels that the caller named.
    #[error("{}: expected a table with a column {column:?} of labels or numbers, found {found}", path.display())]
    LabelColumn {
        /// The data set.
        path: PathBuf,
        /// The name of the column.
        column: String,
        /// What was found.
        found: String,
        /// Whether it is a table.
        is_table: bool,
    },

    /// A table with several labels for an image, of which a network for classification learns one.
    #[error("{}: expected one label, found {found}; the network learns one class per image, unless the task is multilabel \
             (`--task multilabel`)", path.display())]
    SeveralLabels {
        /// The file.
        path: PathBuf,
        /// What was found, with the line number.
        found: String,
    },

    /// Images that cannot be split into training and validation images as asked for.
    #[error("expected {expected}, found {found}")]
    HoldOut {
        /// What is possible.
        expected: String,
        /// What was asked for, or what the images are like.
        found: String,
    },

    /// A table without the numbers that a network predicts.
    #[error("{}: expected the columns {expected}, found {found}; rename or add them", path.display())]
    Outputs {
        /// The file.
        path: PathBuf,
        /// The names of the outputs.
        expected: NameList,
        /// The columns of numbers found.
        found: NameList,
    },

    /// A data set that is not labelled for a task.
    #[error("{}: expected {expected} (task {task}), found {found}", path.display())]
    Task {
        /// The data set.
        path: PathBuf,
        /// The task.
        task: Task,
        /// What the task needs.
        expected: &'static str,
        /// What was found.
        found: &'static str,
    },

    /// A CSV file that lists files that do not exist.
    #[error(
        "{}: {images} of {} not found: {missing}; paths are relative to the folder of the CSV file",
        path.display(),
        count_images(*rows)
    )]
    MissingFiles {
        /// The CSV file.
        path: PathBuf,
        /// Number of images listed.
        rows: usize,
        /// Number of images that do not exist.
        images: usize,
        /// The first thousand of them.
        missing: NameList,
    },

    /// An archive that is damaged or a compressed tar.
    #[error("{}: expected a zip or an uncompressed tar archive, found {found}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What was found.
        found: String,
    },

    /// A loader with invalid options.
    #[error("expected {expected}, found {found}")]
    Loader {
        /// The allowed values.
        expected: &'static str,
        /// The value found.
        found: String,
    },

    /// An image could not be read, in a loader that does not skip such images.
    #[error("{name}: {}", chain(error.as_ref()))]
    Unreadable {
        /// The image.
        name: String,
        /// Why it could not be read.
        error: BoxError,
    },

    /// No image could be read.
    #[error("none of {} could be read; the first failure: {name}: {reason}", count_images(*images))]
    NothingReadable {
        /// Number of images tried.
        images: usize,
        /// The first image.
        name: String,
        /// Why the first could not be read.
        reason: String,
    },

    /// The operating system could not start a thread.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),

    /// A batch could not be assembled.
    #[error(transparent)]
    Batch(BoxError),
}

/// Formats an error and its causes in one line, separated by colons.
///
/// Public for the other crates of this workspace.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let messages: Vec<String> = causes.map(ToString::to_string).collect();
    messages.join(": ")
}

/// Returns the start of a text from a file, short enough for a message.
pub(crate) fn cut(text: &str) -> String {
    const LONGEST: usize = 100;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Formats a count: `1 image`, `2 images`.
pub(crate) fn count_images(count: usize) -> String {
    match count {
        1 => "1 image".to_owned(),
        _ => format!("{count} images"),
    }
}

/// Names for a message, which displays the first ten and the number of remaining names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameList(Vec<String>);

impl NameList {
    const SHOWN: usize = 10;

    /// All the names.
    pub fn names(&self) -> &[String] {
        &self.0
    }
}

impl FromIterator<String> for NameList {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        Self(names.into_iter().collect())
    }
}

impl fmt::Display for NameList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.len().min(Self::SHOWN);
        f.write_str(&self.0[..shown].join(", "))?;
        match self.0.len() - shown {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
