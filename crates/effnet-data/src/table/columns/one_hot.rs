//! Finds the column of classes, or the columns of 0 and 1, one per class.
//!
//! Programs leave out zeros, and people write other marks. A column that is passed over is a label that is never learned, so
//! that a cell in doubt is an error.

use super::{LABEL, Label, Sample, TEXT, flag};
use crate::DataError;
use crate::error::cut;
use crate::table::records::Row;

impl Sample<'_> {
    /// Returns the column or the columns of one class per image.
    pub(super) fn label(&self, rest: &[usize]) -> Result<Label, DataError> {
        let mut flags = self.flags(rest);
        if !self.are_exclusive(&flags) {
            let full = self.without_blanks(&flags);
            if self.are_exclusive(&full) {
                flags = full;
            }
        }
        let is_one_hot = self.are_exclusive(&flags);
        if self.names.is_none() {
            if is_one_hot {
                return Err(DataError::Csv {
                    path: self.file.to_owned(),
                    found:
                        "a column of 0 and 1 per class, but no names; add a first line with them, such as \
                            image,cat,dog"
                            .to_owned(),
                });
            }
            return Ok(Label::Column(rest.first().copied().unwrap_or(1)));
        }
        if let Some(column) = self.known(rest.iter().copied(), &LABEL).first() {
            return Ok(Label::Column(*column));
        }
        if flags.len() > 1 {
            self.check_marks(rest, &flags)?;
        }
        if is_one_hot {
            return Ok(Label::OneHot(self.with_names(&flags)));
        }
        match &self.named(rest)[..] {
            [column] if self.rank(*column, &TEXT).is_none() => Ok(Label::Column(*column)),
            _ => Err(self.without_label(rest, &flags)),
        }
    }

    /// Returns whether each row has a 1 in exactly one of several columns.
    pub(super) fn are_exclusive(&self, flags: &[usize]) -> bool {
        flags.len() > 1 && !self.rows.is_empty() && self.rows.iter().all(|row| ones(row, flags) == 1)
    }

    /// Returns the columns without blank cells: other columns may say something else about an image.
    pub(super) fn without_blanks(&self, flags: &[usize]) -> Vec<usize> {
        let is_full = |column: &usize| !self.fields(*column).any(str::is_empty);
        flags.iter().copied().filter(is_full).collect()
    }

    /// Says why none of the columns is that of the classes, and for which task they may be.
    fn without_label(&self, rest: &[usize], flags: &[usize]) -> DataError {
        let mut rows = self.rows.iter();
        if let (true, Some(row)) = (flags.len() > 1, rows.find(|row| ones(row, flags) > 1)) {
            return DataError::SeveralLabels {
                path: self.file.to_owned(),
                found: format!("several classes with a 1 on line {}", row.line),
            };
        }
        self.unclear(if flags.len() > 1 {
            "a column of labels, such as `label` or `class`, or one column of 0 and 1 per class with one 1 per row \
             (`--task multilabel` allows rows of only 0)"
        } else if self.family(rest).len() > 1 {
            "a column of labels, such as `label` or `class`, or several labels per image (`--task multilabel`), or numbers to \
             predict (`--task regression`)"
        } else if rest.iter().any(|column| self.may_be_predicted(*column)) {
            "a column of labels, such as `label` or `class`, or one column of 0 and 1 per class, or numbers to predict \
             (`--task regression`)"
        } else {
            "a column of labels, such as `label` or `class`, or one column of 0 and 1 per class"
        })
    }

    /// Returns the columns that hold only 0, 1 and blank cells.
    pub(super) fn flags(&self, rest: &[usize]) -> Vec<usize> {
        let named = self.named(rest);
        let cells = |column: usize| self.fields(column).filter(|field| !field.is_empty());
        let is_blank = |column: &usize| !self.rows.is_empty() && cells(*column).next().is_none();
        let is_marked = |column: &usize| !is_blank(column) && cells(*column).all(|cell| flag(cell).is_some());
        let marked: Vec<usize> = named.iter().copied().filter(is_marked).collect();
        let blank: Vec<usize> = named.iter().copied().filter(is_blank).collect();
        let has_blank = |column: &usize| self.fields(*column).any(str::is_empty);
        let has_only_ones = |column: &usize| cells(*column).all(|cell| flag(cell) == Some(true));
        let are_all = !marked.is_empty()
            && marked.len() + blank.len() == named.len()
            && self.known(named.iter().copied(), &LABEL).is_empty();
        // Where zeros are left out, the first images may have none of a label.
        let is_sparse = (marked.len() > 1 && marked.iter().any(has_blank))
            || (are_all && marked.iter().all(has_only_ones));
        let is_flag = |column: &usize| marked.contains(column) || (is_sparse && blank.contains(column));
        named.into_iter().filter(is_flag).collect()
    }

    /// Refuses a cell that is neither 0 nor 1 in a column that has mostly those, such as -1 or `x`, in a table with one-hot
    /// columns. A positive number may be a count.
    pub(super) fn check_marks(&self, rest: &[usize], flags: &[usize]) -> Result<(), DataError> {
        let is_digit = |cell: &str| matches!(cell, "0" | "1" | "0.0" | "1.0");
        let is_count = |cell: &str| cell.parse::<f64>().is_ok_and(|number| number >= 0.0);
        let is_negative = |cell: &str| cell.parse::<f64>().is_ok_and(|number| number == -1.0);
        for column in rest.iter().filter(|column| !flags.contains(column)) {
            // Of missing values, a column is as unclear as of text.
            let cells = || {
                self.fields(*column)
                    .filter(|cell| !cell.is_empty() && !is_missing(cell))
            };
            let strays: Vec<&str> = cells().filter(|cell| flag(cell).is_none()).collect();
            let are_few = strays.len() * 2 < cells().count() || strays.iter().all(|cell| is_negative(cell));
            let is_one_hot = cells().any(is_digit) && are_few && !strays.iter().any(|cell| is_count(cell));
            let is_stray = |row: &&Row| strays.first().is_some_and(|stray| row.field(*column) == *stray);
            if let (true, Some(row)) = (is_one_hot, self.rows.iter().find(is_stray)) {
                return Err(DataError::Csv {
                    path: self.file.to_owned(),
                    found: not_a_flag(row, *column, &self.name(*column)),
                });
            }
        }
        Ok(())
    }
}

/// Whether a cell says that a value is not known, as pandas, R and people write it.
pub(super) fn is_missing(cell: &str) -> bool {
    const MISSING: [&str; 8] = ["na", "n/a", "#n/a", "nan", "null", "none", "unknown", "?"];
    MISSING.contains(&&*cell.to_ascii_lowercase())
}

/// Says what is wrong with a cell of a one-hot column.
pub(in crate::table) fn not_a_flag(row: &Row, column: usize, name: &str) -> String {
    match row.fields.get(column) {
        None => format!(
            "nothing in column {name} on line {}, which has fewer columns than others; add 0 or 1",
            row.line
        ),
        Some(cell) => format!(
            "`{}` in column {name} on line {}, where cells are 0, 1 or blank; correct it, or remove the column if it is not a \
             label",
            cut(cell),
            row.line
        ),
    }
}

/// Returns how many of these columns have a 1 in a row.
pub(super) fn ones(row: &Row, flags: &[usize]) -> usize {
    let is_set = |column: &&usize| row.fields.get(**column).and_then(|field| flag(field)) == Some(true);
    flags.iter().filter(is_set).count()
}
