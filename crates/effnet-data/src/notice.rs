//! Tells the user how a data set was read.
//!
//! A path can be read in more than one way. Whatever was not used, and whatever looks like a mistake, is
//! collected here and printed before training starts. Discovered only afterwards, a mistake would have cost
//! the whole training run.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use effnet_architecture::Task;

use super::error::{NameList, count_images};
use super::role::RoleName;

/// How a data set was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reading {
    /// The folder or rows of the training images, such as `Training/`; `None` if the data set is not split.
    pub train: Option<String>,
    /// The folder or rows of the validation images; `None` if the data set has none.
    pub val: Option<String>,
    /// The folder or rows of the test images; `None` if they are not used, or used for validation.
    pub test: Option<String>,
    /// What the labels are for.
    pub task: Task,
    /// How the task was found out: `several labels in one field, such as `cat;dog``. `None` if the caller said it, and
    /// for classification.
    pub task_reason: Option<String>,
    /// Whatever was not used, and whatever looks like a mistake.
    pub notices: Vec<Notice>,
}

impl Reading {
    /// Drops the notice that the test images are not used, for a caller that uses them.
    pub(crate) fn use_test(&mut self) {
        self.notices
            .retain(|notice| !matches!(notice, Notice::UnusedTest { .. }));
    }
}

/// Something in a data set that was not used, or that looks like a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A folder, or rows of a CSV file, that are not used.
    Ignored {
        /// The folder or rows: `test/`, or `split = test`.
        name: String,
        /// The reason.
        reason: String,
    },
    /// Labelled test images that are not used, because other images are used for validation.
    UnusedTest {
        /// The folder or rows of the test images: `test/`, or `split = test`.
        name: String,
        /// The folder or rows of the validation images.
        val: String,
    },
    /// Images next to the class folders, which have no class.
    LooseImages {
        /// The folder that contains them.
        folder: String,
        /// The number of images.
        images: usize,
    },
    /// Images in an unsupported format, which are not used.
    UnsupportedFiles {
        /// The format: `HEIC`, `camera RAW`.
        kind: &'static str,
        /// The number of files.
        files: usize,
    },
    /// Columns of a CSV file that are not used.
    IgnoredColumns {
        /// Their names.
        columns: NameList,
    },
    /// Class folders that contain the same subfolders.
    SameSubfolders {
        /// The class folders.
        classes: NameList,
        /// The subfolders.
        subfolders: NameList,
    },
    /// A class folder that contains folders named like the other classes.
    NestedClasses {
        /// The class.
        class: String,
        /// The other classes in it.
        nested: NameList,
    },
    /// Class folders with names such as `train` and `test`.
    PartsAsClasses {
        /// The class folders.
        classes: NameList,
    },
    /// Rows of a CSV file that repeat an image with its label. Each image is used once.
    RepeatedRows {
        /// The number of rows that are not used.
        rows: usize,
        /// The first such image.
        first: String,
    },
    /// Images that a CSV file lists with more than one label.
    SeveralLabels {
        /// The number of images.
        images: usize,
        /// The first such image.
        first: String,
        /// Its labels.
        labels: NameList,
    },
    /// Test images that a training run on the same data validates with, since there are no others.
    TestIsValidation {
        /// The folder or rows of the test images.
        name: String,
    },
    /// Images that are listed both for training and for validation.
    SharedImages {
        /// The number of images.
        images: usize,
        /// The first of them.
        first: String,
    },
    /// Labels that look like several labels in one field (`cat dog` in addition to `cat` and `dog`).
    CombinedLabels {
        /// The labels.
        labels: NameList,
    },
    /// Labels of several words, each of which is also the label of another image: the words are taken for labels.
    SeparatedBySpaces {
        /// The labels.
        labels: NameList,
    },
    /// Labels that are numbers, with fractions or with few images each, as quantities are.
    Quantities {
        /// How many different ones there are.
        labels: usize,
    },
    /// Images without any label, where images may have several. They count as examples without each label.
    WithoutLabels {
        /// The number of images.
        images: usize,
        /// The first of them.
        first: String,
    },
    /// Classes of the training images that the validation images do not have.
    MissingClasses {
        /// Their names.
        classes: NameList,
    },
    /// One-hot columns in which no row has a 1.
    EmptyColumns {
        /// The columns.
        columns: NameList,
    },
    /// A table without a column that had the labels of other data; others were taken for them.
    NoLabelColumn {
        /// The name of the column.
        column: String,
    },
}

impl Notice {
    /// Creates a notice about a folder that is not used.
    pub(crate) fn ignored(folder: &str, reason: impl Into<String>) -> Self {
        Self::Ignored {
            name: format!("{folder}/"),
            reason: reason.into(),
        }
    }

    /// Creates a notice about images directly in `folder`, if there are any.
    pub(crate) fn loose_images(folder: &Path, images: usize) -> Option<Self> {
        (images > 0).then(|| Self::LooseImages {
            folder: folder.display().to_string(),
            images,
        })
    }

    /// Creates notices about files of unsupported kinds.
    pub(crate) fn unsupported(files: &BTreeMap<&'static str, usize>) -> impl Iterator<Item = Self> {
        let notice = |(kind, files): (&&'static str, &usize)| Self::UnsupportedFiles { kind, files: *files };
        files.iter().map(notice)
    }

    /// Returns whether the data set may have been read in a way that its owner did not intend.
    pub fn is_warning(&self) -> bool {
        !matches!(
            self,
            Self::Ignored { .. }
                | Self::UnusedTest { .. }
                | Self::IgnoredColumns { .. }
                | Self::EmptyColumns { .. }
                | Self::SeparatedBySpaces { .. }
                | Self::WithoutLabels { .. }
                | Self::MissingClasses { .. }
        )
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ignored { name, reason } => write!(f, "ignored: {name} ({reason})"),
            Self::UnusedTest { name, val } => write!(f, "ignored: {name} ({val} is used for validation)"),
            Self::LooseImages { folder, images } => {
                let verb = if *images == 1 {
                    "is not in any"
                } else {
                    "are not in any"
                };
                write!(
                    f,
                    "{folder}: {} {verb} class folder and will be ignored",
                    count_images(*images)
                )
            }
            Self::UnsupportedFiles { kind, files: 1 } => {
                write!(
                    f,
                    "1 {kind} file cannot be read and is not used; convert it to JPEG or PNG"
                )
            }
            Self::UnsupportedFiles { kind, files } => {
                write!(
                    f,
                    "{files} {kind} files cannot be read and are not used; convert them to JPEG or PNG"
                )
            }
            Self::IgnoredColumns { columns } => write!(f, "ignored columns: {columns}"),
            Self::SameSubfolders { classes, subfolders } if are_parts(subfolders) => write!(
                f,
                "the class folders ({classes}) all contain {subfolders}, whose images will be merged; to keep \
                 them separate, \
                 make them the outer folders (train/CLASS/, test/CLASS/)"
            ),
            Self::SameSubfolders { classes, subfolders } => write!(
                f,
                "the class folders ({classes}) all contain the same subfolders ({subfolders}): if these are the \
                 classes, name the outer folders train/ and val/, or pass one of them"
            ),
            Self::NestedClasses { class, nested } => write!(
                f,
                "the class folder {class}/ contains folders named like the other classes ({nested}): if it is a copy \
                 of the data set, remove it"
            ),
            Self::PartsAsClasses { classes } => write!(
                f,
                "the folders {classes} are used as classes: if they are parts of the data set, put one folder per \
                 class into each"
            ),
            Self::RepeatedRows { rows, first } => write!(
                f,
                "{} an image (first: {first}); each image is used once",
                rows_repeat(*rows)
            ),
            Self::SeveralLabels {
                images,
                first,
                labels,
            } => write!(
                f,
                "{} listed with more than one label (first: {first}: {labels}); the network learns one label per \
                 image, so keep one row for each, unless the task is multilabel \
                 (`--task multilabel`)",
                images_are(*images),
            ),
            Self::SharedImages { images, first } => write!(
                f,
                "{} listed for training and for validation (first: {first}): accuracy will look better than it is",
                images_are(*images),
            ),
            Self::TestIsValidation { name } => write!(
                f,
                "{name}: there are no other validation images, so that training on these data chooses its best epoch with \
                 these: accuracy looks a little better than it is"
            ),
            Self::CombinedLabels { labels } => write!(
                f,
                "some labels look like several labels in one ({labels}): the network learns one label per image, and \
                 each combination counts as a class, unless the task is multilabel (`--task multilabel`)"
            ),
            Self::SeparatedBySpaces { labels } => write!(
                f,
                "labels are separated by spaces, since each word of {labels} is also a label of its own"
            ),
            Self::Quantities { labels } => write!(
                f,
                "the labels are {labels} different numbers, each taken for a class: if they are quantities to predict, the \
                 task is regression (`--task regression`)"
            ),
            Self::WithoutLabels { images, first } => {
                write!(f, "{} without any label (first: {first})", count_images(*images))
            }
            Self::MissingClasses { classes } => write!(f, "no validation images of these classes: {classes}"),
            Self::NoLabelColumn { column } => write!(
                f,
                "no column {column:?}, which had the labels in training: the labels are what the table tells"
            ),
            Self::EmptyColumns { columns } => write!(f, "ignored columns without a 1 in any row: {columns}"),
        }
    }
}

fn rows_repeat(rows: usize) -> String {
    match rows {
        1 => "1 row of the CSV file repeats".to_owned(),
        _ => format!("{rows} rows of the CSV file repeat"),
    }
}

fn images_are(images: usize) -> String {
    match images {
        1 => "1 image is".to_owned(),
        _ => format!("{images} images are"),
    }
}

fn are_parts(names: &NameList) -> bool {
    let mut names = names.names().iter();
    names.all(|name| RoleName::exactly(name).is_some())
}
