//! Data sets listed in a table: a CSV file or JSON Lines.
//!
//! The module `records` reads the rows, `columns` decides what each column is, `files` finds the images, and
//! `listed` collects them.

mod columns;
mod files;
mod listed;
mod records;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use effnet_image::Image;

use super::classes::Classes;
use super::error::{NameList, cut};
use super::notice::Notice;
use super::role::Role;
use super::{BoxError, DataError, Dataset};
use columns::{Columns, Label, flag};
use files::{Files, Found};
use listed::{Listed, MOST_LABELS};
use records::{Records, Row, SAMPLE};

/// Maximum number of missing files to name.
const MOST_MISSING: usize = 1000;

/// Images from a table of paths and labels: a CSV file, or a JSON Lines file with one object per line.
///
/// The first line of a CSV file may be a header. The column of paths may be called `path`, `file`,
/// `filename`, `image`, `image_id` or similar, and the column of labels `label`, `class`, `target`,
/// `category` or similar, in any case and with any punctuation. A table with one column of 0 and 1 per class
/// works too. Without a header, the first two columns are used. Columns are separated by commas, semicolons
/// or tabs. Paths are relative to the folder of the file or to a folder below it, and may omit the extension.
/// Labels are class names, sorted by name, or by value if all are integers. An image that is listed twice
/// with the same label is used once.
#[derive(Debug)]
pub struct CsvDataset {
    classes: Vec<String>,
    files: Vec<(Arc<Path>, usize)>,
}

impl CsvDataset {
    /// Reads the file and checks that the images exist.
    ///
    /// # Errors
    /// [`DataError`]: the file cannot be read or parsed; its columns are unclear; images are missing; labels differ
    /// only in case.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        Table::open(path.as_ref())?.dataset(None, None)
    }

    /// Like [`CsvDataset::open`], but with known classes: labels are indices into `classes`.
    ///
    /// # Errors
    /// Same as [`CsvDataset::open`], and [`DataError::UnknownClasses`].
    pub fn with_classes(path: impl AsRef<Path>, classes: &[String]) -> Result<Self, DataError> {
        Table::open(path.as_ref())?.dataset(None, Some(classes))
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
    listed: Listed,
    /// What the table calls each part: `split = train`.
    parts: BTreeMap<Role, String>,
    /// The number of test rows without a label, and what the table calls them.
    unlabelled: usize,
    unlabelled_part: String,
    notices: Vec<Notice>,
}

impl Table {
    /// Reads the table and finds its images.
    pub(crate) fn open(path: &Path) -> Result<Self, DataError> {
        let mut records = Records::open(path)?;
        let mut files = Files::around(path);
        let mut start = Vec::new();
        while start.len() < SAMPLE
            && let Some(row) = records.next()?
        {
            start.push(row);
        }
        let mut exists = |name: &str| !matches!(files.find(name), Found::Nothing);
        let columns = Columns::of(path, records.names(), &start, &mut exists)?;
        let mut table = Self {
            path: path.to_owned(),
            ..Self::default()
        };
        let (mut read, mut missing, mut names) = (0, 0, Vec::new());
        let mut rows = start.into_iter().skip(usize::from(columns.has_header));
        while let Some(row) = rows.next().map_or_else(|| records.next(), |row| Ok(Some(row)))? {
            read += 1;
            if let Some(name) = table.push(&row, &columns, &mut files)? {
                missing += 1;
                if names.len() < MOST_MISSING {
                    names.push(name);
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
        table.notices = table.collect_notices(&columns);
        Ok(table)
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

    /// Returns the images of a part, or all images.
    pub(crate) fn dataset(
        &self,
        part: Option<Role>,
        known: Option<&[String]>,
    ) -> Result<CsvDataset, DataError> {
        let found: BTreeSet<String> = self.listed.rows(part).map(|(_, label)| label.clone()).collect();
        let classes = match (known, by_value(&found)) {
            (None, Some(names)) => Classes::listed(names),
            _ => Classes::choose(&self.path, found, known)?,
        };
        let rows = self.listed.rows(part);
        let files = rows.filter_map(|(image, name)| Some((Arc::clone(image), classes.label(name)?)));
        let files = files.collect();
        Ok(CsvDataset {
            classes: classes.into_names(),
            files,
        })
    }

    /// Adds a row. If its image does not exist, returns the name of the image.
    fn push(&mut self, row: &Row, columns: &Columns, files: &mut Files) -> Result<Option<String>, DataError> {
        let part = self.part_of(row, columns)?;
        let role = part.as_ref().map(|(role, _)| *role);
        let name = row.field(columns.path);
        let label = match &columns.label {
            Label::Column(column) => row.field(*column),
            Label::OneHot(classes) => self.one_hot(row, classes)?,
        };
        // Test images often have no label.
        if let (true, Some((Role::Test | Role::Unlabelled, part))) = (label.is_empty(), &part) {
            self.unlabelled += 1;
            self.unlabelled_part.clone_from(part);
            return Ok(None);
        }
        if name.is_empty() || label.is_empty() {
            let text = row.fields.join(",");
            return Err(self.wrong(format!("{:?} on line {}", cut(&text), row.line)));
        }
        if let Some((role, part)) = part {
            self.parts.entry(role).or_insert(part);
        }
        let path = match files.find(name) {
            Found::File(path) => path,
            Found::Nothing => return Ok(Some(cut(name))),
            Found::Several([first, second]) => {
                return Err(self.wrong(format!(
                    "`{}` on line {}, which may be {} or {}; write the path of the right one",
                    cut(name),
                    row.line,
                    first.display(),
                    second.display()
                )));
            }
        };
        if !self.listed.add(path.into(), label, role) {
            let name = cut(name);
            return Err(self.wrong(format!(
                "more than {MOST_LABELS} labels of {name} on line {}",
                row.line
            )));
        }
        Ok(None)
    }

    /// Returns the part to which a row belongs, and what the table calls it.
    fn part_of(&self, row: &Row, columns: &Columns) -> Result<Option<(Role, String)>, DataError> {
        let Some(part) = &columns.part else {
            return Ok(None);
        };
        let value = cut(row.field(part.column));
        match part.role(row.field(part.column)) {
            Some(role) => Ok(Some((role, format!("{} = {value}", part.name)))),
            None => Err(self.wrong(format!(
                "`{value}` in column {} on line {}, which is not train, val or test",
                part.name, row.line
            ))),
        }
    }

    /// Returns the class of a row in which one column has a 1.
    fn one_hot<'a>(&self, row: &Row, classes: &'a [(usize, String)]) -> Result<&'a str, DataError> {
        let mut set = Vec::new();
        for (column, class) in classes {
            match flag(row.field(*column)) {
                Some(true) => set.push(class),
                Some(false) => {}
                None => {
                    return Err(self.wrong(format!("neither 0 nor 1 in column {class} on line {}", row.line)));
                }
            }
        }
        match &set[..] {
            [class] => Ok(class),
            [] => Err(self.wrong(format!("no class with a 1 on line {}", row.line))),
            [first, second, ..] => Err(self.wrong(format!(
                "two classes with a 1 ({first} and {second}) on line {}; the network learns one class per image",
                row.line
            ))),
        }
    }

    fn wrong(&self, found: impl Into<String>) -> DataError {
        DataError::Csv {
            path: self.path.clone(),
            found: found.into(),
        }
    }

    fn collect_notices(&self, columns: &Columns) -> Vec<Notice> {
        let mut notices = Vec::new();
        if !columns.ignored.names().is_empty() {
            notices.push(Notice::IgnoredColumns {
                columns: columns.ignored.clone(),
            });
        }
        if let Label::OneHot(classes) = &columns.label {
            let unused = classes.iter().filter(|(_, class)| !self.listed.has_label(class));
            let unused: NameList = unused.map(|(_, class)| class.clone()).collect();
            if !unused.names().is_empty() {
                notices.push(Notice::EmptyColumns { columns: unused });
            }
        }
        notices.extend(self.unused_parts());
        if self.unlabelled > 0 {
            notices.push(Notice::Ignored {
                name: self.unlabelled_part.clone(),
                reason: format!("rows without a label: {}", self.unlabelled),
            });
        }
        notices.extend(self.listed.notices());
        notices
    }

    /// Returns notices about the test rows if other rows are used for validation, and about the rows to be
    /// classified.
    fn unused_parts(&self) -> Vec<Notice> {
        let test = self.part(Role::Validation).zip(self.part(Role::Test));
        let test = test.map(|(val, test)| Notice::UnusedTest {
            name: test.to_owned(),
            val: val.to_owned(),
        });
        let unlabelled = self.part(Role::Unlabelled).map(|name| Notice::Ignored {
            name: name.to_owned(),
            reason: "not for training".to_owned(),
        });
        test.into_iter().chain(unlabelled).collect()
    }
}
