//! Confusion matrices as CSV tables.

use std::io;
use std::path::Path;

use crate::metrics::ConfusionMatrix;
use crate::{PlotError, replace_file};

/// Writes a confusion matrix as CSV: one row per true class, one column per predicted class, both named.
///
/// # Errors
/// [`PlotError::Write`]; an existing file is then unchanged.
pub fn write_confusion_csv(
    path: &Path,
    confusion: &ConfusionMatrix,
    classes: &[String],
) -> Result<(), PlotError> {
    let count = confusion.num_classes();
    let named = |class: usize| {
        let name = classes.get(class).cloned();
        name.unwrap_or_else(|| format!("class {class}"))
    };
    replace_file(path, |file| {
        let mut writer = csv::Writer::from_writer(file);
        let header = std::iter::once("true \\ predicted".to_owned()).chain((0..count).map(named));
        writer.write_record(header).map_err(io::Error::from)?;
        for actual in 0..count {
            let counts = (0..count).map(|predicted| confusion.get(actual, predicted).to_string());
            let row = std::iter::once(named(actual)).chain(counts);
            writer.write_record(row).map_err(io::Error::from)?;
        }
        writer.flush()
    })
}
