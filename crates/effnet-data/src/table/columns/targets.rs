//! Finds the columns of several labels per image, and tells the task from the columns.
//!
//! What only may be several labels, such as `guinea pig`, stays one: a class that is split in two would be learned as
//! nonsense, whereas a user can ask for the task.

use std::collections::{BTreeMap, BTreeSet};

use effnet_architecture::Task;

use super::one_hot::ones;
use super::{LABEL, Label, Sample, TEXT, plain};
use crate::DataError;
use crate::table::targets::{CERTAIN, parts, separator};

impl Sample<'_> {
    /// Tells the task from the labels, and says why.
    pub(super) fn detect(&self, rest: &[usize]) -> (Task, Option<String>) {
        let numbers = self.names.is_some().then(|| self.fractions(rest)).flatten();
        if let Some(reason) = numbers {
            return (Task::Regression, Some(reason));
        }
        if let Some(reason) = self.several(rest) {
            return (Task::MultiLabel, Some(reason));
        }
        (Task::Classify, None)
    }

    /// Returns the columns of labels for several labels per image.
    pub(super) fn labels(&self, rest: &[usize]) -> Result<Label, DataError> {
        let family = self.family(rest);
        // Numbers may as well be quantities.
        if family.len() > 1 && !self.are_numeric(&family) {
            return Ok(Label::Lists(family));
        }
        let known = self.known(rest.iter().copied(), &LABEL);
        let flags = self.flags(rest);
        let named = self.named(rest);
        let is_one_hot = self.names.is_some() && (flags.len() > 1 || (flags.len() == 1 && named.len() == 1));
        let is_list = |column: &usize| !flags.contains(column) || flags.len() == 1;
        if self.names.is_some() && !flags.is_empty() && !known.first().is_some_and(is_list) {
            self.check_marks(rest, &flags)?;
        }
        match (known.first(), &named[..]) {
            (Some(column), _) if is_list(column) => Ok(Label::Lists(vec![*column])),
            _ if is_one_hot => Ok(Label::OneHot(self.with_names(&flags))),
            _ if family.len() > 1 => Ok(Label::Lists(family)),
            (_, [column]) if self.rank(*column, &TEXT).is_none() => Ok(Label::Lists(vec![*column])),
            (_, [column, ..]) if self.names.is_none() => Ok(Label::Lists(vec![*column])),
            _ => Err(self.unclear(
                "a column of labels, such as `labels` with `cat;dog`, or one column of 0 and 1 per label",
            )),
        }
    }

    /// Returns why images have several labels, if they do.
    fn several(&self, rest: &[usize]) -> Option<String> {
        let label = self.labels(rest).ok()?;
        match label {
            Label::OneHot(columns) => {
                let flags: Vec<usize> = columns.iter().map(|(column, _)| *column).collect();
                let full = self.without_blanks(&flags);
                let has_classes = !self.known(rest.iter().copied(), &LABEL).is_empty();
                // A column of classes may stand beside an incomplete one of 0 and 1, and so may one-hot columns.
                if self.are_exclusive(&full) || (has_classes && full.len() < 2) {
                    return None;
                }
                let row = self
                    .rows
                    .iter()
                    .find(|row| flags.len() > 1 && ones(row, &flags) > 1)?;
                Some(format!(
                    "{} of {} columns are 1 on line {}",
                    ones(row, &flags),
                    flags.len(),
                    row.line
                ))
            }
            Label::Lists(columns) if columns.len() > 1 && self.are_numeric(&columns) => None,
            Label::Lists(columns) if columns.len() > 1 => {
                let names: Vec<String> = columns.iter().map(|column| self.name(*column)).collect();
                Some(format!("the columns of labels {}", names.join(", ")))
            }
            Label::Lists(columns) => self.list(columns[0]),
            Label::Column(_) | Label::Numbers(_) => None,
        }
    }

    /// Returns why the fields of a column have several labels each, if they do.
    pub(super) fn list(&self, column: usize) -> Option<String> {
        let fields: BTreeSet<&str> = self.fields(column).collect();
        let separator = separator(fields.iter().copied(), &CERTAIN)?;
        let example = fields.iter().find(|field| field.contains(separator))?;
        // A label that is a part of only one field may be a name with a semicolon.
        let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
        for part in fields.iter().flat_map(|field| parts(field, Some(separator))) {
            *uses.entry(part).or_default() += 1;
        }
        uses.values().any(|uses| *uses > 1).then(|| {
            let shown = crate::error::cut(example).replace(super::super::records::LIST, ", ");
            format!("several labels in one field, such as `{shown}`")
        })
    }

    /// Returns columns such as `label1` and `label2`.
    pub(super) fn family(&self, rest: &[usize]) -> Vec<usize> {
        let is_member = |column: &usize| {
            let name = self.names.as_ref().and_then(|names| names.get(*column));
            name.is_some_and(|name| {
                let name = plain(name);
                let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
                stem.len() < name.len() && LABEL.contains(&stem)
            })
        };
        rest.iter().copied().filter(is_member).collect()
    }

    /// Returns whether all of these columns hold numbers, or nothing.
    fn are_numeric(&self, columns: &[usize]) -> bool {
        let is_text =
            |column: &usize| self.fields(*column).any(|field| !field.is_empty()) && !self.is_numeric(*column);
        !columns.iter().any(is_text)
    }

    /// Returns the columns that do not just number the rows.
    pub(super) fn named(&self, rest: &[usize]) -> Vec<usize> {
        rest.iter()
            .copied()
            .filter(|column| !self.is_number(*column))
            .collect()
    }

    pub(super) fn with_names(&self, columns: &[usize]) -> Vec<(usize, String)> {
        columns
            .iter()
            .map(|column| (*column, self.name(*column)))
            .collect()
    }
}
