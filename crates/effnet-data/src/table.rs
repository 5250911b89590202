//! Data sets listed in a table: a CSV file or JSON Lines.
//!
//! The module `records` reads the fields, `columns` decides what each column is, `rows` reads the rows accordingly, `files`
//! finds the images, and `listed` and `targets` collect them.

mod columns;
mod files;
mod groups;
mod listed;
mod notices;
mod records;
mod rows;
mod targets;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use effnet_architecture::Task;
use effnet_image::{Image, Needed, PartialImage};

use super::classes::Classes;
use super::error::NameList;
use super::notice::Notice;
use super::role::Role;
use super::{BoxError, DataError, Dataset};
use columns::{Columns, Label};
pub(crate) use columns::{GroupColumn, KnownColumns};
use files::{Files, Found};
use groups::Groups;
use listed::Listed;
use records::{Records, SAMPLE};
use rows::Waiting;
use targets::{ANY, TargetList, separator};

/// Maximum number of missing files to name.
const MOST_MISSING: usize = 1000;

/// Images from a table of paths and labels: a CSV file, or a JSON Lines file with one object per line.
///
/// The first line of a CSV file may be a header. The column of paths may be called `path`, `file`,
/// `filename`, `image`, `image_id` or similar, and the column of labels `label`, `class`, `target`,
/// `category` or similar, in any case and with any punctuation. A table with one column of 0 and 1 per class
/// works too; its blank cells are 0. Without a header, the first two columns are used. Columns are separated by commas,
/// semicolons or tabs. Those of JSON Lines are the keys of all objects. Paths are relative to the folder of the file or to
/// a folder below it, and may omit the extension. Labels are class names, sorted by name, or by value if all are integers. An image that is listed twice
/// with the same label is used once.
///
/// For [`Task::MultiLabel`], a field may hold several labels (`cat;dog`), there may be several columns of labels, and
/// any number of one-hot columns may be 1. For [`Task::Regression`], the columns are numbers, with decimal commas too if
/// no commas separate columns.
#[derive(Debug)]
pub struct CsvDataset {
    classes: Vec<String>,
    files: Vec<(Arc<Path>, usize)>,
    targets: Targets,
    /// The group of each image; empty if the images are not grouped.
    groups: Vec<usize>,
}

/// What the images have other than one class each.
#[derive(Debug)]
enum Targets {
    Classes,
    /// The labels of each image.
    Labels(Vec<Box<[u32]>>),
    /// The values of all images, image by image.
    Values(Vec<f32>),
}

impl CsvDataset {
    /// Reads the file and checks that the images exist.
    ///
    /// # Errors
    /// [`DataError`]: the file cannot be read or parsed; its columns are unclear; images are missing; labels differ
    /// only in case.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        Table::open(path.as_ref(), Some(Task::Classify), &KnownColumns::default())?.dataset(None, None)
    }

    /// Like [`CsvDataset::open`], but with known classes: labels are indices into `classes`.
    ///
    /// # Errors
    /// Same as [`CsvDataset::open`], and [`DataError::UnknownClasses`].
    pub fn with_classes(path: impl AsRef<Path>, classes: &[String]) -> Result<Self, DataError> {
        Table::open(path.as_ref(), Some(Task::Classify), &KnownColumns::default())?
            .dataset(None, Some(classes))
    }
}

impl Dataset for CsvDataset {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> usize {
        self.files[index].1
    }

    fn name(&self, index: usize) -> String {
        self.files[index].0.display().to_string()
    }

    fn image(&self, index: usize) -> Result<Image, BoxError> {
        Ok(Image::open(&self.files[index].0)?)
    }

    fn part(
        &self,
        index: usize,
        needed: &dyn Fn(usize, usize) -> Option<Needed>,
    ) -> Result<PartialImage, BoxError> {
        Ok(PartialImage::open(&self.files[index].0, needed)?)
    }

    fn task(&self) -> Task {
        match self.targets {
            Targets::Classes => Task::Classify,
            Targets::Labels(_) => Task::MultiLabel,
            Targets::Values(_) => Task::Regression,
        }
    }

    fn values(&self, index: usize, row: &mut [f32]) {
        row.fill(0.0);
        match &self.targets {
            Targets::Classes => row[self.label(index)] = 1.0,
            Targets::Labels(labels) => labels[index].iter().for_each(|label| row[*label as usize] = 1.0),
            Targets::Values(values) => {
                let columns = self.classes.len();
                row.copy_from_slice(&values[index * columns..(index + 1) * columns]);
            }
        }
    }

    fn group(&self, index: usize) -> Option<usize> {
        self.groups.get(index).copied()
    }
}

/// Sorts the names by value, if all are integers and no two have the same value.
fn by_value(names: &BTreeSet<String>) -> Option<Vec<String>> {
    let numbers = names.iter().map(|name| Some((name.parse::<i64>().ok()?, name)));
    let mut numbers: Vec<(i64, &String)> = numbers.collect::<Option<_>>()?;
    numbers.sort();
    let distinct = numbers.windows(2).all(|pair| pair[0].0 != pair[1].0);
    distinct.then(|| numbers.into_iter().map(|(_, name)| name.clone()).collect())
}

/// The rows of a table, with the images found.
#[derive(Debug, Default)]
pub(crate) struct Table {
    path: PathBuf,
    task: Task,
    /// How the task was found out.
    reason: Option<String>,
    listed: Listed,
    /// The images and their labels, for other tasks than classification.
    targets: TargetList,
    /// The groups of the images, if a column names them.
    groups: Option<Groups>,
    /// Whether spaces may separate the labels in a field.
    at_spaces: bool,
    /// The names of the columns of labels or of numbers.
    names: Vec<String>,
    /// What the table calls each part: `split = train`.
    parts: BTreeMap<Role, String>,
    /// Test rows without labels, as long as no test row has any.
    waiting: Waiting,
    notices: Vec<Notice>,
}

impl Table {
    /// Reads the table and finds its images. Without a `task`, the labels decide which it is.
    pub(crate) fn open(path: &Path, task: Option<Task>, known: &KnownColumns) -> Result<Self, DataError> {
        let mut records = Records::open(path)?;
        let mut files = Files::around(path);
        let mut start = Vec::new();
        while start.len() < SAMPLE
            && let Some(row) = records.next()?
        {
            start.push(row);
        }
        let mut exists = |name: &str| !matches!(files.find(name), Found::Nothing);
        let names = (records.names(), records.may_have_decimal_commas());
        let columns = Columns::of(path, names, &start, &mut exists, (task, known))?;
        let separator = match &columns.label {
            Label::Lists(columns) => {
                let fields = start
                    .iter()
                    .flat_map(|row| columns.iter().map(|column| row.field(*column)));
                separator(fields, &ANY)
            }
            _ => None,
        };
        let mut table = Self {
            path: path.to_owned(),
            task: columns.task,
            reason: columns.reason.clone(),
            at_spaces: matches!(&columns.label, Label::Lists(columns) if columns.len() == 1),
            groups: columns.group.clone().map(Groups::of_column),
            names: match &columns.label {
                Label::OneHot(columns) => columns.iter().map(|(_, name)| name.clone()).collect(),
                Label::Numbers(columns) => columns.iter().map(|number| number.name.clone()).collect(),
                Label::Column(_) | Label::Lists(_) => Vec::new(),
            },
            ..Self::default()
        };
        let (mut read, mut missing, mut names) = (0, 0, Vec::new());
        let mut rows = start.into_iter().skip(usize::from(columns.has_header));
        while let Some(row) = rows.next().map_or_else(|| records.next(), |row| Ok(Some(row)))? {
            read += 1;
            for row in table.ready(row, &columns)? {
                if let Some(name) = table.push(&row, &columns, separator, &mut files)? {
                    missing += 1;
                    if names.len() < MOST_MISSING {
                        names.push(name);
                    }
                }
            }
        }
        if read == 0 {
            return Err(table.wrong("no rows"));
        }
        if missing > 0 {
            return Err(DataError::MissingFiles {
                path: path.to_owned(),
                rows: read,
                images: missing,
                missing: NameList::from_iter(names),
            });
        }
        if table.task == Task::MultiLabel && table.targets.found(None, false).is_empty() {
            return Err(table.wrong("no labels"));
        }
        table.notices = table.collect_notices(&columns);
        Ok(table)
    }

    /// What the labels are for.
    pub(crate) fn task(&self) -> Task {
        self.task
    }

    /// How the task was found out, if it is not the usual one.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Returns whether the table says which images are for training and which are not.
    pub(crate) fn is_split(&self) -> bool {
        self.parts.keys().any(|role| *role != Role::Train)
    }

    /// Returns what the table calls the rows of a part; `None` if there are no such rows.
    pub(crate) fn part(&self, role: Role) -> Option<&str> {
        self.parts.get(&role).map(String::as_str)
    }

    pub(crate) fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Returns a notice if the classes may be quantities.
    pub(crate) fn quantities(&self) -> Option<Notice> {
        self.listed.quantities()
    }

    /// Returns the images of a part, or all images.
    pub(crate) fn dataset(
        &self,
        part: Option<Role>,
        known: Option<&[String]>,
    ) -> Result<CsvDataset, DataError> {
        match self.task {
            Task::Classify => {}
            Task::MultiLabel => return self.labelled(part, known),
            Task::Regression => return self.valued(part, known),
        }
        let found: BTreeSet<String> = self.listed.rows(part).map(|(_, label)| label.clone()).collect();
        let classes = match (known, by_value(&found)) {
            (None, Some(names)) => Classes::listed(names),
            _ => Classes::choose(&self.path, found, known)?,
        };
        let rows = self.listed.rows(part);
        let files = rows.filter_map(|(image, name)| Some((Arc::clone(image), classes.label(name)?)));
        let files = files.collect();
        Ok(self.images(classes.into_names(), files, Targets::Classes))
    }

    /// Returns images with the group of each.
    fn images(&self, classes: Vec<String>, files: Vec<(Arc<Path>, usize)>, targets: Targets) -> CsvDataset {
        let groups = self.groups.as_ref().map(|groups| groups.of(&files));
        CsvDataset {
            classes,
            files,
            targets,
            groups: groups.unwrap_or_default(),
        }
    }

    /// Returns images with several labels each.
    fn labelled(&self, part: Option<Role>, known: Option<&[String]>) -> Result<CsvDataset, DataError> {
        let at_spaces = self.at_spaces && self.targets.separates_at_spaces(known);
        let found = self.targets.found(part, at_spaces);
        let classes = match known {
            // One-hot columns are in the order of the table.
            None if !self.names.is_empty() => Classes::listed(self.names.clone()),
            None => by_value(&found).map_or_else(
                || Classes::found(&self.path, found),
                |names| Ok(Classes::listed(names)),
            )?,
            Some(_) => Classes::choose(&self.path, found, known)?,
        };
        let labels = self.targets.labels(part, at_spaces, |name| classes.label(name));
        let first = |labels: &[u32]| labels.first().map_or(0, |label| *label as usize);
        let files = self.targets.paths(part).zip(&labels);
        let files = files.map(|(path, labels)| (Arc::clone(path), first(labels)));
        let files = files.collect();
        Ok(self.images(classes.into_names(), files, Targets::Labels(labels)))
    }

    /// Returns images with numbers.
    fn valued(&self, part: Option<Role>, known: Option<&[String]>) -> Result<CsvDataset, DataError> {
        let known = known.unwrap_or(&self.names);
        let place = |name: &String| self.names.iter().position(|column| column == name);
        let order: Option<Vec<usize>> = known.iter().map(place).collect();
        let order = match (order, known.len(), self.names.len()) {
            (Some(order), _, _) => order,
            // One number needs no name.
            (None, 1, 1) => vec![0],
            _ => {
                return Err(DataError::Outputs {
                    path: self.path.clone(),
                    expected: known.iter().cloned().collect(),
                    found: self.names.iter().cloned().collect(),
                });
            }
        };
        let files = self.targets.paths(part).map(|path| (Arc::clone(path), 0));
        let values = Targets::Values(self.targets.values(part, &order));
        Ok(self.images(known.to_vec(), files.collect(), values))
    }

    fn wrong(&self, found: impl Into<String>) -> DataError {
        DataError::Csv {
            path: self.path.clone(),
            found: found.into(),
        }
    }
}
