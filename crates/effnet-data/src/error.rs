//! What can be wrong with a data set or its loading.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// An error of any type.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no data.
///
/// Places are named as the caller named them: a folder, a CSV file, an archive.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file or folder could not be read.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },

    /// The path leads to none of the kinds of data that are known here.
    #[error(
        "{}: expected a folder of class folders, a .csv file or a .tar archive, found {found}",
        path.display()
    )]
    UnknownKind {
        /// The path.
        path: PathBuf,
        /// What is there.
        found: String,
    },

    /// A folder or archive without class folders.
    #[error(
        "{}: expected a folder for each class with its images in it, found {found}",
        path.display()
    )]
    NoClasses {
        /// The folder or archive.
        path: PathBuf,
        /// What is there instead.
        found: String,
    },

    /// A data set of a single class, which leaves nothing to learn.
    #[error(
        "{}: expected two classes or more, found only {class:?}; pass the folder that holds the class folders",
        path.display()
    )]
    OneClass {
        /// The data set.
        path: PathBuf,
        /// The one class.
        class: String,
    },

    /// Class folders without a picture.
    #[error(
        "{}: expected images ({extensions}) of each class, found none of {classes}; add some or remove the empty class folders",
        path.display(),
        extensions = effnet_image::EXTENSIONS.join(", ")
    )]
    EmptyClasses {
        /// The folder or archive.
        path: PathBuf,
        /// The classes without images.
        classes: Listed,
    },

    /// Classes that some file systems and most people take for the same.
    #[error(
        "{}: expected classes that differ by more than upper and lower case, found {first:?} and {second:?}; merge or rename them",
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

    /// A class whose name is not UTF-8, which no file of results could hold.
    #[error("{}: expected class names in UTF-8, found {name:?}; rename it", path.display())]
    ClassName {
        /// The data set.
        path: PathBuf,
        /// The name, which the message shows with its odd bytes escaped.
        name: OsString,
    },

    /// Classes that the network or the training part does not have.
    #[error(
        "{}: expected no classes but those of the training ({known} of them), found {unknown}",
        path.display()
    )]
    UnknownClasses {
        /// The data set.
        path: PathBuf,
        /// The number of known classes.
        known: usize,
        /// The others.
        unknown: Listed,
    },

    /// A CSV file that cannot be read as one.
    #[error("{}: expected lines of a path and a label, found {found}", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line.
        found: String,
    },

    /// A CSV file that names files that do not exist.
    #[error(
        "{}: {} of its {rows} images do not exist: {missing}; paths are relative to the folder of the CSV file",
        path.display(),
        missing.len()
    )]
    MissingFiles {
        /// The CSV file.
        path: PathBuf,
        /// The images that it names.
        rows: usize,
        /// Those that are not there.
        missing: Listed,
    },

    /// An archive that is damaged or of another kind.
    #[error("{}: expected an uncompressed tar archive, found {found}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        found: String,
    },

    /// A loader that cannot work.
    #[error("expected {expected}, found {found}")]
    Loader {
        /// What the option must be.
        expected: &'static str,
        /// What it is.
        found: String,
    },

    /// A picture that could not be read, where that is not to be passed over.
    #[error("{name}: {}", chain(error.as_ref()))]
    Unreadable {
        /// The picture.
        name: String,
        /// What is wrong with it.
        error: BoxError,
    },

    /// An epoch in which no picture could be read.
    #[error("none of {images} images could be read; the first is {name}: {reason}")]
    NothingReadable {
        /// How many were tried.
        images: usize,
        /// The first.
        name: String,
        /// What is wrong with the first.
        reason: String,
    },

    /// The system gave no thread.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),

    /// A batch could not be put together.
    #[error(transparent)]
    Batch(BoxError),
}

/// An error with what caused it, in one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let messages: Vec<String> = causes.map(ToString::to_string).collect();
    messages.join(": ")
}

/// Names for a message: the first ten, and how many more there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed(Vec<String>);

impl Listed {
    const SHOWN: usize = 10;

    /// All the names.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

impl FromIterator<String> for Listed {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        Self(names.into_iter().collect())
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.len().min(Self::SHOWN);
        f.write_str(&self.0[..shown].join(", "))?;
        match self.0.len() - shown {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
