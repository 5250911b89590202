//! Confusion matrices as PNG plots and CSV tables.

mod blocks;
mod cells;

use std::io;
use std::path::Path;

use plotters::element::Text;

use crate::drawing::{Area, FAINT, INK, bold, draw_png, failed, shortened, text};
use crate::metrics::{Confusion, ConfusionMatrix};
use crate::{PlotError, replace_file};

/// Maximum number of classes that are shown individually, with their names.
const MOST_NAMED: usize = 40;
const HEADING: u32 = 74;

/// Draws a confusion matrix as a PNG. Rows are true classes, columns predicted classes; blue is correct, orange
/// wrong, normalised by row.
///
/// Up to 40 classes are named along both sides. Beyond that, cells are shared by neighbouring classes, and the
/// most frequent mistakes are listed next to the matrix.
///
/// # Errors
/// [`PlotError::Draw`].
pub fn confusion_png(confusion: &ConfusionMatrix, classes: &[String]) -> Result<Vec<u8>, PlotError> {
    let few = confusion.num_classes() <= MOST_NAMED;
    let size = if few {
        cells::size(confusion, classes)
    } else {
        blocks::SIZE
    };
    draw_png((size.0, size.1 + HEADING), |area| {
        let (top, body) = area.split_vertically(HEADING);
        draw_heading(&top, confusion)?;
        if few {
            cells::draw(&body, confusion, classes)
        } else {
            blocks::draw(&body, confusion, classes)
        }
    })
}

fn draw_heading(area: &Area<'_>, confusion: &ConfusionMatrix) -> Result<(), PlotError> {
    let (images, correct) = (confusion.images(), correct(confusion));
    let percent = 100.0 * correct as f64 / images.max(1) as f64;
    let unit = if images == 1 { "image" } else { "images" };
    let title = format!("{percent:.1} % of {images} {unit} correct");
    area.draw(&Text::new(title, (20, 14), bold(22, INK)))
        .map_err(failed)?;
    let key = "rows: true class   columns: predicted class   blue: correct   orange: wrong   % of the row";
    area.draw(&Text::new(key, (20, 46), text(15, FAINT)))
        .map_err(failed)
}

fn correct(confusion: &ConfusionMatrix) -> u64 {
    let is_correct = |entry: &Confusion| entry.actual == entry.predicted;
    let entries = confusion.entries().filter(is_correct);
    entries.map(|entry| entry.images).sum()
}

/// The name of a class, truncated to `most` characters, or its number if it has no name.
fn name(classes: &[String], class: usize, most: usize) -> String {
    match classes.get(class) {
        Some(name) => shortened(name, most),
        None => format!("class {class}"),
    }
}

/// Writes a confusion matrix as CSV: one row per true class, one column per predicted class, both named.
///
/// # Errors
/// [`PlotError::Write`]; an existing file is unchanged then.
pub fn write_confusion_csv(
    path: &Path,
    confusion: &ConfusionMatrix,
    classes: &[String],
) -> Result<(), PlotError> {
    let count = confusion.num_classes();
    let named = |class: usize| name(classes, class, usize::MAX);
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
