//! The columns that the caller names: of a table with many columns, only people know which of them is to be learned.
//!
//! What the columns hold still tells the task, unless that is given, too.

use effnet_architecture::Task;

use super::one_hot::{is_missing, ones};
use super::{LABEL, Label, Sample, flag, plain};
use crate::DataError;
use crate::error::{NameList, cut};
use crate::table::records::Row;

impl Sample<'_> {
    /// Returns the columns of labels or numbers with these names, without repetitions.
    pub(super) fn chosen(&self, names: &[String]) -> Result<Vec<usize>, DataError> {
        let mut chosen = Vec::new();
        for name in names {
            let column = self.find(name).map_err(|found| DataError::LabelColumn {
                path: self.file.to_owned(),
                column: name.clone(),
                found,
                is_table: true,
            })?;
            if !chosen.contains(&column) {
                chosen.push(column);
            }
        }
        Ok(chosen)
    }

    /// Returns the column by which images are grouped, which is not one of `labels`, with its name.
    pub(super) fn group(&self, name: &str, labels: &[usize]) -> Result<(usize, String), DataError> {
        let found = match self.find(name) {
            Ok(column) if labels.contains(&column) => Err("that it has the labels".to_owned()),
            found => found,
        };
        match found {
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
        if columns.len() > 1 && task != Some(Task::Regression) {
            self.check_kind(columns)?;
        }
        let (task, reason) = match task {
            Some(task) => (task, None),
            None => self.detect_chosen(columns),
        };
        let is_one_hot = self.are_flags(columns);
        let label = match (task, columns) {
            (Task::Regression, _) => {
                let numbers = columns.iter().map(|column| self.number_column(*column));
                Label::Numbers(numbers.collect())
            }
            (Task::Classify, [column]) => Label::Column(*column),
            (Task::Classify, _) => self.one_class(columns)?,
            (Task::MultiLabel, [column]) if self.rank(*column, &LABEL).is_some() => {
                Label::Lists(vec![*column])
            }
            (Task::MultiLabel, _) if is_one_hot => Label::OneHot(self.with_names(columns)),
            (Task::MultiLabel, _) => Label::Lists(columns.to_vec()),
        };
        Ok((task, reason, label))
    }

    fn detect_chosen(&self, columns: &[usize]) -> (Task, Option<String>) {
        let names: Vec<String> = columns.iter().map(|column| self.name(*column)).collect();
        let names = names.join(", ");
        let are_numeric = columns.iter().all(|column| self.is_numeric(*column));
        let fraction = columns.iter().find_map(|column| self.fraction(*column));
        let several = match (fraction.filter(|_| are_numeric), columns) {
            (Some(example), _) => {
                let reason = format!("numbers such as {example} in the column {names}");
                return (Task::Regression, Some(reason));
            }
            (None, [column]) => self.list(*column),
            (None, _) if self.are_flags(columns) => {
                let row = self.rows.iter().find(|row| ones(row, columns) > 1);
                let several = |row: &Row| {
                    format!(
                        "{} of {} columns are 1 on line {}",
                        ones(row, columns),
                        columns.len(),
                        row.line
                    )
                };
                row.map(several)
            }
            (None, _) if are_numeric => {
                return (Task::Regression, Some(format!("numbers in the columns {names}")));
            }
            (None, _) => Some(format!("the columns of labels {names}")),
        };
        match several {
            Some(reason) => (Task::MultiLabel, Some(reason)),
            None => (Task::Classify, None),
        }
    }

    /// Refuses cells in doubt, such as -1 among 0 and 1, and columns of 0 and 1 beside others: each 0 would be a label.
    fn check_kind(&self, columns: &[usize]) -> Result<(), DataError> {
        let of = |is: &dyn Fn(usize) -> bool| -> Vec<usize> {
            columns.iter().copied().filter(|column| is(*column)).collect()
        };
        let flags = of(&|column| self.are_flags(&[column]));
        self.check_marks(columns, &flags)?;
        let is_known = |cell: &&str| !cell.is_empty() && !is_missing(cell);
        let marked = of(&|column| {
            let mut cells = self.fields(column).filter(is_known).peekable();
            cells.peek().is_some() && cells.all(|cell| flag(cell).is_some())
        });
        let is_other = |cell: &&str| !cell.is_empty() && flag(cell).is_none();
        let other = columns.iter().find_map(|column| {
            let mut rows = self.rows.iter();
            let row = rows.find(|row| is_other(&row.field(*column)))?;
            Some((row, *column))
        });
        let (Some(marked), Some((row, column))) = (marked.first(), other) else {
            return Ok(());
        };
        Err(DataError::Csv {
            path: self.file.to_owned(),
            found: format!(
                "0 and 1 in column {}, but `{}` in column {} on line {}; correct the cell, name columns of one kind, or predict \
                 them as numbers (`--task regression`)",
                self.name(*marked),
                cut(row.field(column)),
                self.name(column),
                row.line
            ),
        })
    }

    /// Returns columns of 0 and 1, of which each row that says anything has one with a 1.
    fn one_class(&self, columns: &[usize]) -> Result<Label, DataError> {
        let several = |found: String| DataError::SeveralLabels {
            path: self.file.to_owned(),
            found,
        };
        if !self.are_flags(columns) {
            let names: NameList = columns.iter().map(|column| self.name(*column)).collect();
            return Err(several(format!("the columns of labels {names}")));
        }
        let is_blank = |row: &Row| columns.iter().all(|column| row.field(*column).is_empty());
        let mut rows = self.rows.iter().filter(|row| !is_blank(row));
        match rows.find(|row| ones(row, columns) != 1) {
            None => Ok(Label::OneHot(self.with_names(columns))),
            Some(row) => {
                let ones = ones(row, columns);
                Err(several(format!("{ones} columns with a 1 on line {}", row.line)))
            }
        }
    }

    /// Returns whether columns hold only 0, 1 and blank cells, and any.
    fn are_flags(&self, columns: &[usize]) -> bool {
        let cells = columns.iter().flat_map(|column| self.fields(*column));
        let mut cells = cells.filter(|cell| !cell.is_empty()).peekable();
        cells.peek().is_some() && cells.all(|cell| flag(cell).is_some())
    }
}
