//! Confusion matrices as tables and images.

mod blocks;
mod cells;

use std::io;
use std::path::Path;

use plotters::element::Text;

use crate::metrics::{Confusion, ConfusionMatrix};
use crate::picture::{Area, FAINT, INK, bold, failed, picture, shortened, text};
use crate::{PictureError, replace_file};

/// Up to so many classes have a row with their name.
const MOST_NAMED: usize = 40;
const HEADING: u32 = 74;

/// Draws a confusion matrix: rows are the true classes, columns the predicted ones, blue is right and
/// orange wrong, in fractions of the row.
///
/// Up to 40 classes are named along both sides. Beyond that, neighbouring classes share a cell, and the
/// mistakes that occur most often are listed beside the matrix.
///
/// # Errors
/// [`PictureError::Draw`].
pub fn confusion_png(confusion: &ConfusionMatrix, classes: &[String]) -> Result<Vec<u8>, PictureError> {
    let few = confusion.num_classes() <= MOST_NAMED;
    let size = if few {
        cells::size(confusion, classes)
    } else {
        blocks::SIZE
    };
    picture((size.0, size.1 + HEADING), |area| {
        let (top, body) = area.split_vertically(HEADING);
        draw_heading(&top, confusion)?;
        if few {
            cells::draw(&body, confusion, classes)
        } else {
            blocks::draw(&body, confusion, classes)
        }
    })
}

fn draw_heading(area: &Area<'_>, confusion: &ConfusionMatrix) -> Result<(), PictureError> {
    let (images, right) = (confusion.images(), right(confusion));
    let percent = 100.0 * right as f64 / images.max(1) as f64;
    let title = format!("{percent:.1} % of {images} images right");
    area.draw(&Text::new(title, (20, 14), bold(22, INK)))
        .map_err(failed)?;
    let key = "row: true class   column: predicted class   blue: right   orange: wrong   % of the row";
    area.draw(&Text::new(key, (20, 46), text(15, FAINT)))
        .map_err(failed)
}

fn right(confusion: &ConfusionMatrix) -> u64 {
    let is_right = |entry: &Confusion| entry.actual == entry.predicted;
    let entries = confusion.entries().filter(is_right);
    entries.map(|entry| entry.images).sum()
}

/// The name of a class, cut to `most` characters; its number where it has no name.
fn name(classes: &[String], class: usize, most: usize) -> String {
    match classes.get(class) {
        Some(name) => shortened(name, most),
        None => format!("class {class}"),
    }
}

/// Writes a confusion matrix as CSV: a row for each true class, a column for each predicted one, both
/// with their names.
///
/// # Errors
/// [`PictureError::Write`]; the old file is as it was then.
pub fn write_confusion_csv(
    path: &Path,
    confusion: &ConfusionMatrix,
    classes: &[String],
) -> Result<(), PictureError> {
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
