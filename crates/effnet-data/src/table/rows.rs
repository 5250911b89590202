//! Reads the rows of a table into its images and their labels.
//!
//! An error names the line and the column: tables have thousands of rows, and one wrong cell is hard to find.

use std::path::Path;
use std::sync::Arc;

use effnet_architecture::Task;

use super::Table;
use super::columns::{Columns, Label, NumberColumn, flag, not_a_flag};
use super::files::{Files, Found};
use super::records::{LIST, Row};
use super::targets::{self, CERTAIN, Target, parts};
use crate::DataError;
use crate::error::cut;
use crate::role::Role;

/// What a row lists its image with.
enum Listing<'a> {
    Class(&'a str),
    Target(Target),
}

/// Test rows without labels.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Where images may have several labels or none, rows to read once a test row with labels follows.
    rows: Vec<Row>,
    /// Whether a test row has labels.
    has_labelled: bool,
    /// The number of other rows, which are not used, and what the table calls them.
    unused: usize,
    part: String,
}

impl Waiting {
    /// Returns the number of rows that are not used, and what the table calls them.
    pub(super) fn unused(&self) -> (usize, &str) {
        (self.unused + self.rows.len(), &self.part)
    }
}

impl Table {
    /// Returns the rows to read, given the next one. Test images often have no label, and are then not used. Where images
    /// may have several labels or none, a test row without a label is one with none if another test row has labels.
    pub(super) fn ready(&mut self, row: Row, columns: &Columns) -> Result<Vec<Row>, DataError> {
        let Some((role @ (Role::Test | Role::Unlabelled), part)) = self.part_of(&row, columns)? else {
            return Ok(vec![row]);
        };
        let is_test = role == Role::Test && self.task == Task::MultiLabel;
        let is_blank = self.is_blank(&row, columns);
        let waiting = &mut self.waiting;
        if is_blank {
            waiting.part = part;
        }
        match (is_blank, is_test) {
            (true, true) if !waiting.has_labelled => waiting.rows.push(row),
            (true, false) => waiting.unused += 1,
            (false, true) => {
                waiting.has_labelled = true;
                let mut rows = std::mem::take(&mut waiting.rows);
                rows.push(row);
                return Ok(rows);
            }
            _ => return Ok(vec![row]),
        }
        Ok(Vec::new())
    }

    /// Returns whether a row says nothing about its image.
    fn is_blank(&self, row: &Row, columns: &Columns) -> bool {
        let is_empty = |column: usize| row.field(column).is_empty();
        match &columns.label {
            Label::Column(column) => is_empty(*column),
            Label::OneHot(_) if self.task == Task::Classify => false,
            Label::Lists(columns) => columns.iter().all(|column| is_empty(*column)),
            Label::OneHot(columns) => columns.iter().all(|(column, _)| is_empty(*column)),
            Label::Numbers(columns) => columns.iter().all(|number| is_empty(number.column)),
        }
    }

    /// Adds a row. If its image does not exist, returns the name of the image.
    pub(super) fn push(
        &mut self,
        row: &Row,
        columns: &Columns,
        separator: Option<char>,
        files: &mut Files,
    ) -> Result<Option<String>, DataError> {
        let part = self.part_of(row, columns)?;
        let role = part.as_ref().map(|(role, _)| *role);
        let name = row.field(columns.path);
        let is_blank = self.is_blank(row, columns);
        if name.is_empty() || (is_blank && self.task != Task::MultiLabel) {
            return Err(self.wrong(self.incomplete(row)));
        }
        let listing = match &columns.label {
            Label::Column(column) => Listing::Class(self.class(row, *column)?),
            Label::OneHot(classes) if self.task == Task::Classify => {
                Listing::Class(self.one_hot(row, classes)?)
            }
            Label::OneHot(classes) => Listing::Target(self.set_labels(row, classes)?),
            Label::Lists(columns) => {
                let fields = columns.iter().map(|column| row.field(*column));
                // The first list may be far below the rows that decided.
                let separator = separator.or_else(|| targets::separator(fields.clone(), &CERTAIN));
                self.targets.is_separated |= separator.is_some();
                let labels = fields
                    .flat_map(|field| parts(field, separator))
                    .map(str::to_owned);
                Listing::Target(Target::Labels(labels.collect()))
            }
            Label::Numbers(columns) => Listing::Target(self.numbers(row, columns)?),
        };
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
        let path: Arc<Path> = path.into();
        if let Some(groups) = &mut self.groups {
            let added = groups.add(Arc::clone(&path), row);
            added.map_err(|found| self.wrong(found))?;
        }
        let added = match listing {
            Listing::Class(label) => {
                let is_added = self.listed.add(path, label, role);
                is_added.then_some(()).ok_or("more than 100 labels")
            }
            Listing::Target(target) => self.targets.add(path, role, target),
        };
        let Err(refused) = added else {
            return Ok(None);
        };
        let name = cut(name);
        Err(self.wrong(format!("{refused} of {name} on line {}", row.line)))
    }

    /// Says what is missing in a row without an image or a label.
    fn incomplete(&self, row: &Row) -> String {
        let text = cut(&row.fields.join(","));
        let advice = match self.task {
            Task::Classify => {
                "; add what is missing or remove the row, unless an image may have several labels or none (`--task multilabel`)"
            }
            Task::MultiLabel | Task::Regression => "; add what is missing or remove the row",
        };
        format!("{text:?} on line {}{advice}", row.line)
    }

    /// Returns the class in a column.
    fn class<'a>(&self, row: &'a Row, column: usize) -> Result<&'a str, DataError> {
        let label = row.field(column).trim_end_matches(LIST);
        if label.contains(LIST) {
            let label = cut(label).replace(LIST, ", ");
            return Err(self.several(format!("several labels ({label}) on line {}", row.line)));
        }
        Ok(label)
    }

    fn several(&self, found: String) -> DataError {
        DataError::SeveralLabels {
            path: self.path.clone(),
            found,
        }
    }

    /// Returns the labels of a row whose columns have a 1.
    fn set_labels(&self, row: &Row, labels: &[(usize, String)]) -> Result<Target, DataError> {
        let mut set = Vec::new();
        for (column, label) in labels {
            if self.is_set(row, *column, label)? {
                set.push(label.clone());
            }
        }
        Ok(Target::Labels(set))
    }

    /// Returns the numbers of a row.
    fn numbers(&self, row: &Row, columns: &[NumberColumn]) -> Result<Target, DataError> {
        let number = |number: &NumberColumn| {
            let (field, name) = (row.field(number.column), &number.name);
            let number = number
                .decimal
                .parse::<f32>(field)
                .filter(|number| number.is_finite());
            number.ok_or_else(|| {
                let field = cut(field);
                self.wrong(format!(
                    "`{field}` in column {name} on line {}, which is not a finite number; correct or remove the row",
                    row.line
                ))
            })
        };
        Ok(Target::Values(
            columns.iter().map(number).collect::<Result<_, _>>()?,
        ))
    }

    /// Returns whether a one-hot column has a 1 in a row. A blank cell is 0.
    fn is_set(&self, row: &Row, column: usize, name: &str) -> Result<bool, DataError> {
        let cell = row.fields.get(column);
        let is_blank = cell.is_some_and(String::is_empty);
        let set = cell.and_then(|cell| flag(cell)).or(is_blank.then_some(false));
        set.ok_or_else(|| self.wrong(not_a_flag(row, column, name)))
    }

    /// Returns the part to which a row belongs, and what the table calls it.
    fn part_of(&self, row: &Row, columns: &Columns) -> Result<Option<(Role, String)>, DataError> {
        let Some(part) = &columns.part else {
            return Ok(None);
        };
        let value = cut(row.field(part.column));
        match part.role(row.field(part.column)) {
            None if value.is_empty() => Err(self.wrong(format!(
                "nothing in column {} on line {}; write {}",
                part.name,
                row.line,
                part.values()
            ))),
            Some(role) => Ok(Some((role, format!("{} = {value}", part.name)))),
            None => Err(self.wrong(format!(
                "`{value}` in column {} on line {}, which is not {}",
                part.name,
                row.line,
                part.values()
            ))),
        }
    }

    /// Returns the class of a row in which one column has a 1.
    fn one_hot<'a>(&self, row: &Row, classes: &'a [(usize, String)]) -> Result<&'a str, DataError> {
        let mut set = Vec::new();
        for (column, class) in classes {
            if self.is_set(row, *column, class)? {
                set.push(class);
            }
        }
        match &set[..] {
            [class] => Ok(class),
            [] => Err(self.wrong(format!(
                "no class with a 1 on line {}; the network learns one class per image, unless the task is multilabel \
                 (`--task multilabel`)",
                row.line
            ))),
            [first, second, ..] => Err(self.several(format!(
                "two classes with a 1 ({first} and {second}) on line {}",
                row.line
            ))),
        }
    }
}
