//! The columns that the caller names: of a table with many columns, only people know which of them is to be learned.
//!
//! What the columns hold still tells the task, unless that is given, too.

use effnet_architecture::Task;

use super::one_hot::ones;
use super::{LABEL, Label, NumberColumn, Sample, flag, plain};
use crate::DataError;
use crate::error::NameList;

impl Sample<'_> {
    /// Returns the columns of labels or numbers with these names, without repetitions.
    pub(super) fn chosen(&self, names: &[String]) -> Result<Vec<usize>, DataError> {
        let mut chosen = Vec::new();
        for name in names {
            let column = self.find(name).map_err(|found| DataError::LabelColumn {
                path: self.file.to_owned(),
                column: name.clone(),
                found,
            })?;
            if !chosen.contains(&column) {
                chosen.push(column);
            }
        }
        Ok(chosen)
    }

    /// Returns the column by which images are grouped, with its name.
    pub(super) fn group(&self, name: &str) -> Result<(usize, String), DataError> {
        match self.find(name) {
            Ok(column) => Ok((column, self.name(column))),
            Err(found) => Err(DataError::GroupColumn {
                path: self.file.to_owned(),
                column: name.to_owned(),
                found,
            }),
        }
    }

    /// Returns the column with this name, or with one that differs only in case, spaces and punctuation; otherwise, what
    /// was found instead.
    fn find(&self, name: &str) -> Result<usize, String> {
        let Some(names) = &self.names else {
            return Err("no names of columns; add a first line with them".to_owned());
        };
        let is_alike = |found: &String| plain(found) == plain(name) && !plain(name).is_empty();
        let exact = names.iter().position(|found| found == name);
        let column = exact.or_else(|| names.iter().position(is_alike));
        column.ok_or_else(|| {
            let found: NameList = (0..self.width).map(|column| self.name(column)).collect();
            format!("the columns {found}; name one of them")
        })
    }

    /// Tells the task of the chosen columns, unless it is given, and why.
    pub(super) fn decide_chosen(
        &self,
        columns: &[usize],
        task: Option<Task>,
    ) -> Result<(Task, Option<String>, Label), DataError> {
        let (task, reason) = match task {
            Some(task) => (task, None),
            None => self.detect_chosen(columns),
        };
        let label = match (task, columns) {
            (Task::Regression, _) => Label::Numbers(self.number_columns_of(columns)),
            (Task::Classify, [column]) => Label::Column(*column),
            (Task::Classify, _) => self.one_class(columns)?,
            (Task::MultiLabel, [column])
                if !self.is_flag(*column) || self.rank(*column, &LABEL).is_some() =>
            {
                Label::Lists(vec![*column])
            }
            (Task::MultiLabel, _) => {
                let flags: Vec<usize> = columns
                    .iter()
                    .copied()
                    .filter(|column| self.is_flag(*column))
                    .collect();
                if !flags.is_empty() {
                    self.check_marks(columns, &flags)?;
                }
                if flags.len() == columns.len() {
                    Label::OneHot(self.with_names(columns))
                } else {
                    Label::Lists(columns.to_vec())
                }
            }
        };
        Ok((task, reason, label))
    }

    fn detect_chosen(&self, columns: &[usize]) -> (Task, Option<String>) {
        let names = || {
            let names: Vec<String> = columns.iter().map(|column| self.name(*column)).collect();
            names.join(", ")
        };
        let are_flags = columns.iter().all(|column| self.is_flag(*column));
        let is_one = |column: &usize| self.is_numeric(*column);
        let fraction = columns.iter().find_map(|column| self.fraction(*column));
        match columns {
            [column] => match (fraction.filter(|_| is_one(column)), self.list(*column)) {
                (Some(example), _) => {
                    let reason = format!("numbers such as {example} in the column {}", names());
                    (Task::Regression, Some(reason))
                }
                (None, Some(reason)) => (Task::MultiLabel, Some(reason)),
                (None, None) => (Task::Classify, None),
            },
            _ if are_flags => match self.rows.iter().find(|row| ones(row, columns) != 1) {
                None => (Task::Classify, None),
                Some(row) => {
                    let (ones, all) = (ones(row, columns), columns.len());
                    let reason = format!("{ones} of {all} columns are 1 on line {}", row.line);
                    (Task::MultiLabel, Some(reason))
                }
            },
            _ if columns.iter().all(is_one) => (
                Task::Regression,
                Some(format!("numbers in the columns {}", names())),
            ),
            _ => (
                Task::MultiLabel,
                Some(format!("the columns of labels {}", names())),
            ),
        }
    }

    /// Returns columns of 0 and 1, of which each row has one with a 1.
    fn one_class(&self, columns: &[usize]) -> Result<Label, DataError> {
        let wrong = |found: String| DataError::Csv {
            path: self.file.to_owned(),
            found: format!(
                "{found}; the network learns one class per image, unless the task is multilabel (`--task multilabel`)"
            ),
        };
        if let Some(column) = columns.iter().find(|column| !self.is_flag(**column)) {
            let name = self.name(*column);
            return Err(wrong(format!(
                "several columns of labels, of which {name} is not one of 0 and 1"
            )));
        }
        match self.rows.iter().find(|row| ones(row, columns) != 1) {
            None => Ok(Label::OneHot(self.with_names(columns))),
            Some(row) => {
                let ones = ones(row, columns);
                Err(wrong(format!("{ones} classes with a 1 on line {}", row.line)))
            }
        }
    }

    /// Returns whether a column holds only 0, 1 and blank cells.
    fn is_flag(&self, column: usize) -> bool {
        let mut cells = self.fields(column).filter(|field| !field.is_empty());
        cells.all(|cell| flag(cell).is_some())
    }

    fn number_columns_of(&self, columns: &[usize]) -> Vec<NumberColumn> {
        columns.iter().map(|column| self.number_column(*column)).collect()
    }
}
