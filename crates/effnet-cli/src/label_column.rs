//! The value of `--label-column`: the names of columns of a table.

use anyhow::ensure;
use effnet_data::DataError;

/// Returns the names in a value of `--label-column`.
pub(crate) fn label_columns(value: &str) -> Vec<String> {
    let names = value.split(',').map(str::trim);
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Returns the names in a value that was passed with `--label-column`.
///
/// # Errors
/// If there is none.
pub(crate) fn passed_columns(value: &str) -> anyhow::Result<Vec<String>> {
    let columns = label_columns(value);
    ensure!(
        !columns.is_empty(),
        "--label-column {value:?}: expected the name of a column, or several separated by commas"
    );
    Ok(columns)
}

/// Names the flag in an error about its columns.
pub fn of_label_column(error: DataError, value: &str) -> anyhow::Error {
    let is_about_columns = matches!(error, DataError::LabelColumn { .. });
    let error = anyhow::Error::from(error);
    if is_about_columns {
        error.context(format!("--label-column {value}"))
    } else {
        error
    }
}
