//! Decides which columns of a table are the path, the label and the part.
//!
//! There is no standard: `Image,Id`, `file_name,label`, `id_code,diagnosis`, `filepaths,labels,data set`.
//! Known names come first, then the contents of the fields: a column that names existing images is the path.
//! Whatever remains unclear is an error.

use std::collections::BTreeSet;
use std::path::Path;

use effnet_architecture::Task;
use effnet_image::is_image_path;

use super::records::Row;
use crate::DataError;
use crate::error::{NameList, cut};
use crate::role::{Role, RoleName};

mod chosen;
mod numbers;
mod one_hot;
mod targets;

pub(super) use numbers::NumberColumn;
pub(super) use one_hot::not_a_flag;

/// Names of the column of paths, without case and punctuation, the most reliable first.
const PATH: [&str; 35] = [
    "path",
    "filepath",
    "imagepath",
    "imgpath",
    "relativepath",
    "relpath",
    "filename",
    "file",
    "imagefilename",
    "imagefile",
    "imagename",
    "imgname",
    "fname",
    "files",
    "filenames",
    "filepaths",
    "imagepaths",
    "paths",
    "image",
    "img",
    "images",
    "photo",
    "photos",
    "imageid",
    "imgid",
    "imageids",
    "fileid",
    "photoid",
    "idcode",
    "imagecode",
    "src",
    "url",
    "uri",
    "name",
    "id",
];

/// Names of the column of labels, in the same form.
const LABEL: [&str; 40] = [
    "label",
    "labels",
    "class",
    "classes",
    "classname",
    "classnames",
    "classlabel",
    "labelname",
    "target",
    "targets",
    "category",
    "categories",
    "categoryname",
    "y",
    "groundtruth",
    "truth",
    "annotation",
    "annotations",
    "tag",
    "tags",
    "breed",
    "species",
    "diagnosis",
    "dx",
    "level",
    "grade",
    "finding",
    "findinglabels",
    "type",
    "kind",
    "genre",
    "emotion",
    "variety",
    "style",
    "signname",
    "labelid",
    "classid",
    "targetid",
    "categoryid",
    "classindex",
];

/// Names of a column that says to which part a row belongs.
const PART: [&str; 11] = [
    "split",
    "set",
    "subset",
    "partition",
    "dataset",
    "datasplit",
    "part",
    "phase",
    "usage",
    "mode",
    "traintest",
];

/// Names of a column that says whether a row belongs to a part, with the part for yes and the part for no.
const FLAG: [(&str, Role, Role); 8] = [
    ("isvalid", Role::Validation, Role::Train),
    ("isval", Role::Validation, Role::Train),
    ("isvalidation", Role::Validation, Role::Train),
    ("valid", Role::Validation, Role::Train),
    ("istest", Role::Test, Role::Train),
    ("istrain", Role::Train, Role::Validation),
    ("istraining", Role::Train, Role::Validation),
    ("istrainingimage", Role::Train, Role::Validation),
];

/// Names of the columns that number the rows.
const NUMBER: [&str; 5] = ["", "unnamed0", "index", "idx", "rowid"];

/// Names of columns that are never labels, even if no other column remains.
const TEXT: [&str; 7] = [
    "text",
    "caption",
    "captions",
    "description",
    "prompt",
    "title",
    "comment",
];

/// Maximum number of columns that are considered as the column of paths. Each field may have to be looked up
/// on disk.
const MOST_PATHS: usize = 32;

/// The role of each column of a table.
pub(super) struct Columns {
    pub(super) path: usize,
    pub(super) label: Label,
    /// What the labels are for, and how that was found out, unless the caller said it.
    pub(super) task: Task,
    pub(super) reason: Option<String>,
    pub(super) part: Option<Part>,
    /// The column that names the group of each image, with its name.
    pub(super) group: Option<(usize, String)>,
    /// Whether the first row contains the names of the columns.
    pub(super) has_header: bool,
    /// The columns that are not used.
    pub(super) ignored: NameList,
}

/// What the caller says about the columns of a table.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownColumns {
    /// The columns of the labels or numbers; empty if the table tells them.
    pub(crate) labels: Vec<String>,
    /// The column by which the images are grouped.
    pub(crate) group: Option<GroupColumn>,
}

/// The column by which the images of a table are grouped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GroupColumn {
    /// Groups the images; the table must have it.
    Needed(String),
    /// Not data if the table has it; the images are not grouped.
    NoData(String),
}

/// The location of the label in a row.
pub(super) enum Label {
    Column(usize),
    /// In the column that has a 1; with the classes.
    OneHot(Vec<(usize, String)>),
    /// The columns of lists of labels.
    Lists(Vec<usize>),
    Numbers(Vec<NumberColumn>),
}

/// The column that says to which part a row belongs.
pub(super) struct Part {
    pub(super) column: usize,
    pub(super) name: String,
    flag: Option<(Role, Role)>,
}

impl Part {
    /// Returns the part that a field names.
    pub(super) fn role(&self, field: &str) -> Option<Role> {
        match self.flag {
            None => RoleName::exactly(field).map(|name| name.role),
            Some((yes, no)) => flag(field).map(|set| if set { yes } else { no }),
        }
    }

    /// What to write into the column.
    pub(super) fn values(&self) -> &'static str {
        match self.flag {
            None => "train, val or test",
            Some(_) => "0 or 1",
        }
    }
}

/// Parses a field as a yes or a no.
pub(super) fn flag(field: &str) -> Option<bool> {
    match &*field.to_ascii_lowercase() {
        "1" | "1.0" | "true" | "yes" => Some(true),
        "0" | "0.0" | "false" | "no" => Some(false),
        _ => None,
    }
}

/// A sample of a table on which the decision is based.
struct Sample<'a> {
    file: &'a Path,
    names: Option<Vec<String>>,
    rows: &'a [Row],
    width: usize,
    /// Whether a comma may be a decimal one.
    may_have_commas: bool,
}

impl Columns {
    /// Decides by the first rows of the table `file`, and by what the caller says. Without a `task`, they decide that, too. `names` are the column names
    /// in a format that always has them; otherwise, the first row may be a header. `may_have_commas` says whether a comma
    /// may be a decimal one. `exists` says whether there is an image
    /// with this name.
    pub(super) fn of(
        file: &Path,
        (names, may_have_commas): (Option<&[String]>, bool),
        rows: &[Row],
        exists: &mut dyn FnMut(&str) -> bool,
        (task, known): (Option<Task>, &KnownColumns),
    ) -> Result<Self, DataError> {
        let mut is_image =
            |field: &str| is_image_path(Path::new(field)) || (!field.is_empty() && exists(field));
        let has_keys = names.is_some();
        let has_header = !has_keys && has_header(rows, &mut is_image);
        let (names, rows) = match (names, rows) {
            (Some(names), rows) => (Some(names.to_vec()), rows),
            (None, [header, rows @ ..]) if has_header => (Some(header.fields.clone()), rows),
            (None, rows) => (None, rows),
        };
        let width = rows.iter().map(|row| row.fields.len()).max();
        let width = width.unwrap_or(0).max(names.as_ref().map_or(0, Vec::len));
        let sample = Sample {
            file,
            names,
            rows,
            width,
            may_have_commas,
        };
        let chosen = sample.chosen(&known.labels)?;
        let path = sample.path(&chosen, &mut is_image)?;
        let part = sample.part(path, &chosen)?;
        let (group, no_data) = match &known.group {
            Some(GroupColumn::Needed(name)) => (Some(sample.group(name, &chosen)?), None),
            Some(GroupColumn::NoData(name)) => (None, sample.group(name, &chosen).ok()),
            None => (None, None),
        };
        let others = [
            part.as_ref().map(|part| part.column),
            group.as_ref().or(no_data.as_ref()).map(|group| group.0),
        ];
        let rest = (0..width).filter(|column| *column != path && !others.contains(&Some(*column)));
        let rest: Vec<usize> = rest.collect();
        let (task, reason, label) = if chosen.is_empty() {
            sample.decide(&rest, task, has_keys)?
        } else {
            sample.decide_chosen(&chosen, task)?
        };
        let used: BTreeSet<usize> = match &label {
            Label::Column(label) => BTreeSet::from([*label]),
            Label::Lists(columns) => columns.iter().copied().collect(),
            Label::OneHot(columns) => columns.iter().map(|(column, _)| *column).collect(),
            Label::Numbers(columns) => columns.iter().map(|number| number.column).collect(),
        };
        // Where numbers are predicted, a user should know which ones are not.
        let is_named = |column: usize| task == Task::Regression || !sample.is_number(column);
        let ignored = rest
            .iter()
            .filter(|column| !used.contains(column) && is_named(**column));
        let ignored = ignored.map(|column| sample.name(*column)).collect();
        Ok(Self {
            path,
            label,
            task,
            reason,
            part,
            group,
            has_header,
            ignored,
        })
    }
}

/// Returns whether the first row is a header: it names no image, and either the second row names one or the
/// column names are known.
fn has_header(rows: &[Row], is_image: &mut dyn FnMut(&str) -> bool) -> bool {
    let Some(first) = rows.first() else {
        return false;
    };
    let mut has_image = |row: &Row| row.fields.iter().take(MOST_PATHS).any(|field| is_image(field));
    if has_image(first) {
        return false;
    }
    let is_known = |field: &String| PATH.contains(&&*plain(field));
    let known = first.fields.iter().any(is_known);
    known || rows.get(1).is_some_and(has_image)
}

/// Returns a name without case, spaces and punctuation.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

impl Sample<'_> {
    /// Tells the task, unless it is given, and the columns of the labels, and says why. Where the columns are the keys of
    /// objects, those of the first one may be enough.
    fn decide(
        &self,
        rest: &[usize],
        task: Option<Task>,
        has_keys: bool,
    ) -> Result<(Task, Option<String>, Label), DataError> {
        let of_first = has_keys.then(|| self.of_first_object(rest)).flatten();
        let decided = of_first.and_then(|columns| self.decide_among(&columns, task).ok());
        decided.map_or_else(|| self.decide_among(rest, task), Ok)
    }

    fn decide_among(
        &self,
        rest: &[usize],
        task: Option<Task>,
    ) -> Result<(Task, Option<String>, Label), DataError> {
        let (task, reason) = match task {
            Some(task) => (task, None),
            None => self.detect(rest),
        };
        let label = match task {
            Task::Classify => self.label(rest)?,
            Task::MultiLabel => self.labels(rest)?,
            Task::Regression => self.numbers(rest)?,
        };
        Ok((task, reason, label))
    }

    /// Returns the columns of the first object of JSON Lines if those may be enough: other objects may add a remark. They are
    /// not if labels are among the others.
    fn of_first_object(&self, rest: &[usize]) -> Option<Vec<usize>> {
        let row = self.rows.first()?;
        let (first, others): (Vec<usize>, Vec<usize>) =
            rest.iter().partition(|column| !row.field(**column).is_empty());
        let flags = self.flags(rest);
        let are_flags = |columns: &[usize]| columns.iter().any(|column| flags.contains(column));
        let has_only_others = self.known(first.iter().copied(), &LABEL).is_empty()
            && !self.known(others.iter().copied(), &LABEL).is_empty();
        let are_labels = has_only_others
            || (are_flags(&first) && are_flags(&others))
            || (!self.family(&first).is_empty() && !self.family(&others).is_empty());
        (!others.is_empty() && !are_labels).then_some(first)
    }

    fn name(&self, column: usize) -> String {
        let name = self.names.as_ref().and_then(|names| names.get(column));
        let name = name.filter(|name| !name.is_empty());
        name.map_or_else(|| format!("column {}", column + 1), |name| cut(name))
    }

    /// Returns the position of a column's name in `known`.
    fn rank(&self, column: usize, known: &[&str]) -> Option<usize> {
        let name = plain(self.names.as_ref()?.get(column)?);
        known.iter().position(|known| *known == name)
    }

    /// Returns the columns whose names are in `known`, the most reliable first.
    fn known(&self, columns: impl Iterator<Item = usize>, known: &[&str]) -> Vec<usize> {
        let ranked = columns.filter_map(|column| Some((self.rank(column, known)?, column)));
        let mut ranked: Vec<(usize, usize)> = ranked.collect();
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, column)| column).collect()
    }

    fn is_number(&self, column: usize) -> bool {
        self.rank(column, &NUMBER).is_some()
    }

    fn fields(&self, column: usize) -> impl Iterator<Item = &str> {
        let fields = self.rows.iter().filter_map(move |row| row.fields.get(column));
        fields.map(String::as_str)
    }

    /// Finds the column of paths, which is none of the labels in `chosen`.
    fn path(&self, chosen: &[usize], is_image: &mut dyn FnMut(&str) -> bool) -> Result<usize, DataError> {
        // A few rows are enough, and each may have to be looked up on disk.
        let mut holds_images = |column: &usize| self.fields(*column).take(5).any(&mut *is_image);
        let columns = || (0..self.width).filter(|column| !chosen.contains(column));
        let known = self.known(columns(), &PATH);
        let found = known.iter().copied().find(&mut holds_images);
        let found = found.or_else(|| columns().take(MOST_PATHS).find(&mut holds_images));
        if let (None, Some(paths)) = (found, chosen.iter().find(|column| holds_images(column))) {
            return Err(DataError::LabelColumn {
                path: self.file.to_owned(),
                column: self.name(*paths),
                found: "the image paths in it, and in no other".to_owned(),
                is_table: true,
            });
        }
        let found = found.or(known.first().copied());
        match (found, &self.names) {
            (Some(column), _) => Ok(column),
            (None, None) => Ok(0),
            (None, Some(_)) => Err(self.unclear("a column of image paths, such as `path` or `filename`")),
        }
    }

    fn part(&self, path: usize, chosen: &[usize]) -> Result<Option<Part>, DataError> {
        let columns = || (0..self.width).filter(move |column| *column != path && !chosen.contains(column));
        let all = |column: usize, test: &dyn Fn(&str) -> bool| {
            let mut fields = self.fields(column).filter(|field| !field.is_empty()).peekable();
            fields.peek().is_some() && fields.all(test)
        };
        let is_role = |field: &str| RoleName::exactly(field).is_some();
        let part = |column, flag| Part {
            column,
            name: self.name(column),
            flag,
        };
        if self.names.is_none() {
            // The first two columns are path and label.
            let found = columns()
                .filter(|column| *column > 1)
                .find(|column| all(*column, &is_role));
            return Ok(found.map(|column| part(column, None)));
        }
        for column in self.known(columns(), &PART) {
            if all(column, &is_role) {
                return Ok(Some(part(column, None)));
            }
            if self.rank(column, &PART) == Some(0) {
                return Err(self.not_a_part(column));
            }
        }
        let names = FLAG.map(|(name, _, _)| name);
        let flags = self.known(columns(), &names).into_iter();
        let found = flags.filter_map(|column| Some((column, self.rank(column, &names)?)));
        let mut found = found.filter(|(column, _)| all(*column, &|field| flag(field).is_some()));
        Ok(found
            .next()
            .map(|(column, rank)| part(column, Some((FLAG[rank].1, FLAG[rank].2)))))
    }

    /// Refuses a column that must name parts and does not.
    fn not_a_part(&self, column: usize) -> DataError {
        let is_wrong = |field: &&str| !field.is_empty() && RoleName::exactly(field).is_none();
        let line = self.rows.first().map_or(0, |row| row.line);
        let name = self.name(column);
        let found = match self.fields(column).find(is_wrong) {
            Some(wrong) => format!(
                "`{}` in column {name}, which is not train, val or test",
                cut(wrong)
            ),
            None => {
                format!("nothing in column {name} on line {line} and those below; write train, val or test")
            }
        };
        DataError::Csv {
            path: self.file.to_owned(),
            found: format!("{found}; rename the column to ignore it"),
        }
    }

    fn unclear(&self, expected: &'static str) -> DataError {
        DataError::Columns {
            path: self.file.to_owned(),
            expected,
            found: (0..self.width).map(|column| self.name(column)).collect(),
        }
    }
}
