//! Finds the columns of numbers to predict.

use super::{LABEL, Label, Sample};
use crate::DataError;

/// Names of columns whose whole numbers identify an image, in the form of [`LABEL`].
const IDENTIFIER: [&str; 9] = [
    "", "unnamed0", "index", "idx", "rowid", "id", "fold", "kfold", "group",
];

/// Names, in the same form, that pandas writes for the number of a row.
const ROW: [&str; 2] = ["", "unnamed0"];

impl Sample<'_> {
    /// Returns the columns of numbers to predict.
    pub(super) fn numbers(&self, rest: &[usize]) -> Result<Label, DataError> {
        let columns = self.number_columns(rest);
        if columns.is_empty() {
            return Err(self.unclear("a column of numbers to predict, such as `value`"));
        }
        Ok(Label::Numbers(self.with_names(&columns)))
    }

    fn number_columns(&self, rest: &[usize]) -> Vec<usize> {
        let known = self.known(rest.iter().copied(), &LABEL);
        let (identifiers, named): (Vec<usize>, Vec<usize>) =
            rest.iter().partition(|column| self.is_identifier(**column));
        let numeric = named.iter().copied().filter(|column| self.is_numeric(*column));
        let numeric: Vec<usize> = numeric.collect();
        if self.names.is_none() {
            return rest.first().copied().into_iter().collect();
        }
        if numeric.len() > 1
            && numeric.len() == named.len()
            && numeric.iter().all(|column| self.has_fraction(*column))
        {
            return numeric;
        }
        match &known[..] {
            // They may still be what is to be predicted.
            [] if numeric.is_empty() => {
                let is_named = |column: &usize| self.rank(*column, &ROW).is_none();
                let identifiers = identifiers.into_iter().filter(is_named);
                identifiers.filter(|column| self.is_numeric(*column)).collect()
            }
            [] => numeric,
            _ if self.are_coordinates(rest, &numeric) => numeric,
            // A label that is not a number is reported with its line.
            [label, ..] => vec![*label],
        }
    }

    /// Returns why the columns are numbers to predict, if they are: class numbers are integers.
    pub(super) fn fractions(&self, rest: &[usize]) -> Option<String> {
        let columns = self.number_columns(rest);
        let is_numeric = columns.iter().all(|column| self.is_numeric(*column));
        let mut fractions = columns.iter().map(|column| self.has_fraction(*column));
        let has_fractions = if self.are_coordinates(rest, &columns) {
            fractions.any(|has_fraction| has_fraction)
        } else {
            fractions.all(|has_fraction| has_fraction)
        };
        if columns.is_empty() || !is_numeric || !has_fractions {
            return None;
        }
        let known = self.known(rest.iter().copied(), &LABEL);
        let is_other = |column: &usize| !columns.contains(column) && !self.is_identifier(*column);
        // Among columns of text, a number may be anything.
        if known.is_empty() && rest.iter().any(is_other) {
            return None;
        }
        let names: Vec<String> = columns.iter().map(|column| self.name(*column)).collect();
        let example = columns
            .iter()
            .flat_map(|column| self.fields(*column))
            .find(|field| is_fraction(field))
            .unwrap_or_default();
        Some(format!(
            "numbers such as {example} in the column {}",
            names.join(", ")
        ))
    }

    /// Returns whether whole numbers in a column identify an image, its row or its group.
    fn is_identifier(&self, column: usize) -> bool {
        let may_be = self.rank(column, &IDENTIFIER).is_some() && !self.has_fraction(column);
        self.rank(column, &ROW).is_some() || (may_be && (self.is_numeric(column) || self.is_number(column)))
    }

    /// Returns whether a column may be predicted.
    pub(super) fn may_be_predicted(&self, column: usize) -> bool {
        self.is_numeric(column) && !self.is_identifier(column)
    }

    /// Returns whether these are coordinates: `y` is also a name for the label, but not next to `x` if there is no other.
    fn are_coordinates(&self, rest: &[usize], columns: &[usize]) -> bool {
        let has = |name| columns.iter().any(|column| self.rank(*column, &[name]).is_some());
        has("x") && has("y") && self.known(rest.iter().copied(), &LABEL).len() == 1
    }

    pub(super) fn is_numeric(&self, column: usize) -> bool {
        let mut fields = self.fields(column).filter(|field| !field.is_empty()).peekable();
        fields.peek().is_some() && fields.all(|field| field.parse::<f64>().is_ok())
    }

    fn has_fraction(&self, column: usize) -> bool {
        self.fields(column).any(is_fraction)
    }
}

fn is_fraction(field: &str) -> bool {
    field
        .parse::<f64>()
        .is_ok_and(|number| number.is_finite() && number.fract() != 0.0)
}
