//! Finds the columns of numbers to predict.

use std::str::FromStr;

use super::{LABEL, Label, Sample};
use crate::DataError;

/// Names of columns whose whole numbers identify an image, in the form of [`LABEL`].
const IDENTIFIER: [&str; 9] = [
    "", "unnamed0", "index", "idx", "rowid", "id", "fold", "kfold", "group",
];

/// Names, in the same form, that pandas writes for the number of a row.
const ROW: [&str; 2] = ["", "unnamed0"];

/// Names of columns of several labels, in the same form: `1,5` may be two class numbers.
const LISTS: [&str; 7] = [
    "labels",
    "classes",
    "classnames",
    "categories",
    "tags",
    "annotations",
    "findinglabels",
];

/// A column of numbers to predict.
pub(in crate::table) struct NumberColumn {
    pub(in crate::table) column: usize,
    pub(in crate::table) name: String,
    pub(in crate::table) decimal: Decimal,
}

/// How a column writes fractions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::table) enum Decimal {
    Point,
    Comma,
    /// The first rows have none.
    Either,
}

impl Decimal {
    /// Parses a number.
    pub(in crate::table) fn parse<N: FromStr>(self, field: &str) -> Option<N> {
        match self {
            Self::Comma if field.contains('.') => None,
            Self::Either if may_be_thousands(field) => None,
            Self::Comma | Self::Either if field.contains(',') => field.replacen(',', ".", 1).parse().ok(),
            _ => field.parse().ok(),
        }
    }
}

/// Whether the comma in a number may separate thousands, as in `1,250`, so that it is not known which number it is.
fn may_be_thousands(field: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let Some((whole, rest)) = field.trim_start_matches(['-', '+']).split_once(',') else {
        return false;
    };
    let is_group = |part: &str| part.len() == 3 && digits(part);
    digits(whole) && whole.len() <= 3 && !whole.starts_with('0') && rest.split(',').all(is_group)
}

impl Sample<'_> {
    /// Returns the columns of numbers to predict.
    pub(super) fn numbers(&self, rest: &[usize]) -> Result<Label, DataError> {
        let columns = self.number_columns(rest);
        if columns.is_empty() {
            return Err(self.unclear("a column of numbers to predict, such as `value`"));
        }
        let column = |column| self.number_column(column);
        Ok(Label::Numbers(columns.into_iter().map(column).collect()))
    }

    pub(super) fn number_column(&self, column: usize) -> NumberColumn {
        NumberColumn {
            column,
            name: self.name(column),
            decimal: self.decimal(column),
        }
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
        // Beside whole numbers such as those of folds, a label is what to predict.
        let is_only = known.is_empty() || identifiers.iter().all(|column| self.is_number(*column));
        if numeric.len() > 1
            && numeric.len() == named.len()
            && is_only
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
            _ if self.are_coordinates(rest, &numeric) => {
                let is_one = |column: &usize| self.rank(*column, &["x", "y", "z"]).is_some();
                let numeric = numeric.into_iter();
                numeric
                    .filter(|column| is_one(column) || self.has_fraction(*column))
                    .collect()
            }
            // A label that is not a number is reported with its line.
            [label, ..] => vec![*label],
        }
    }

    /// Returns why the columns are numbers to predict, if they are: class numbers are integers.
    pub(super) fn fractions(&self, rest: &[usize]) -> Option<String> {
        let columns = self.number_columns(rest);
        let is_numeric = columns.iter().all(|column| self.is_numeric(*column));
        let known = self.known(rest.iter().copied(), &LABEL);
        // Beside numbers such as `x`, whole numbers in `y` may be classes.
        let telling = if self.are_coordinates(rest, &columns) {
            &known
        } else {
            &columns
        };
        let has_fractions = telling.iter().all(|column| self.has_fraction(*column));
        if columns.is_empty() || !is_numeric || !has_fractions {
            return None;
        }
        let is_list =
            |column: &usize| self.decimal(*column) == Decimal::Comma && self.rank(*column, &LISTS).is_some();
        if columns.iter().any(is_list) {
            return None;
        }
        let is_other = |column: &usize| !columns.contains(column) && !self.is_identifier(*column);
        // Among columns of text, a number may be anything.
        if known.is_empty() && rest.iter().any(is_other) {
            return None;
        }
        let names: Vec<String> = columns.iter().map(|column| self.name(*column)).collect();
        let mut examples = columns.iter().filter_map(|column| self.fraction(*column));
        let example = examples.next().unwrap_or_default();
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

    /// Returns how a column writes fractions. A comma may only be a decimal one where it does not separate the columns.
    fn decimal(&self, column: usize) -> Decimal {
        if !self.may_have_commas {
            return Decimal::Point;
        }
        let mut marks = self
            .fields(column)
            .filter_map(|field| field.rfind(['.', ',']).map(|at| &field[at..]));
        let mut with_comma = self.fields(column).filter(|field| field.contains(','));
        match marks.next() {
            // They are not read as numbers then.
            Some(mark) if mark.starts_with(',') && with_comma.all(may_be_thousands) => Decimal::Point,
            Some(mark) if mark.starts_with(',') => Decimal::Comma,
            Some(_) => Decimal::Point,
            None => Decimal::Either,
        }
    }

    pub(super) fn is_numeric(&self, column: usize) -> bool {
        let decimal = self.decimal(column);
        let mut fields = self.fields(column).filter(|field| !field.is_empty()).peekable();
        fields.peek().is_some() && fields.all(|field| decimal.parse::<f64>(field).is_some())
    }

    fn has_fraction(&self, column: usize) -> bool {
        self.fraction(column).is_some()
    }

    /// Returns a number with a fraction in a column.
    pub(super) fn fraction(&self, column: usize) -> Option<&str> {
        let decimal = self.decimal(column);
        let is_fraction = |number: f64| number.is_finite() && number.fract() != 0.0;
        self.fields(column)
            .find(|field| decimal.parse(field).is_some_and(is_fraction))
    }
}
