//! Confusion matrices as PNG plots.

mod blocks;
mod cells;

use crate::PlotError;
use crate::drawing::{Canvas, FAINT, INK, Label, grouped, percentage, shortened, width_of};
use crate::metrics::{Confusion, ConfusionMatrix};

/// Maximum number of classes that are shown individually, with their names.
const MOST_NAMED: usize = 40;
/// Height of the heading, in pixels.
const HEADING: i32 = 74;
/// Left edge of the heading.
const EDGE: i32 = 20;

/// Draws a confusion matrix as a PNG. Rows are true classes, and columns are predicted classes. Correct
/// predictions are blue and wrong ones orange, normalised by row.
///
/// Up to 40 classes are named along both sides. With up to 20 classes, the cells have numbers: the percentage
/// of the row, where `0` means none and `<1` means few; the precision is shown below the columns. Beyond 40
/// classes, neighbouring classes share a cell, and the most frequent mistakes are listed next to the matrix.
///
/// # Errors
/// [`PlotError::Draw`].
pub fn confusion_png(confusion: &ConfusionMatrix, classes: &[String]) -> Result<Vec<u8>, PlotError> {
    let few = confusion.num_classes() <= MOST_NAMED;
    let (width, height) = if few {
        cells::size(confusion, classes)
    } else {
        blocks::SIZE
    };
    let heading = heading(confusion);
    let needed = heading.iter().map(|(text, label)| width_of(text, *label));
    let width = needed.map(|width| width + 2 * EDGE as u32).fold(width, u32::max);
    let mut canvas = Canvas::new((width, height + HEADING as u32));
    for ((text, label), y) in heading.iter().zip([14, 46]) {
        canvas.text(text, (EDGE, y), *label);
    }
    if few {
        cells::draw(&mut canvas, HEADING, confusion, classes);
    } else {
        blocks::draw(&mut canvas, HEADING, confusion, classes);
    }
    canvas.into_png()
}

/// Returns the lines above the matrix.
fn heading(confusion: &ConfusionMatrix) -> [(String, Label); 2] {
    let (images, correct) = (confusion.images(), correct(confusion));
    let unit = if images == 1 { "image" } else { "images" };
    let title = format!(
        "{} of {} {unit} correct ({})",
        grouped(correct),
        grouped(images),
        percent(correct, images)
    );
    let key = "percent of the row; blue: correct, orange: wrong".to_owned();
    [(title, Label::new(22, INK).bold()), (key, Label::new(15, FAINT))]
}

/// Formats a percentage, with a decimal if there is room for it: `99.3 %`. Only all of the images are `100
/// %`.
fn percent(part: u64, whole: u64) -> String {
    let percent = 100.0 * part as f64 / whole.max(1) as f64;
    if part == whole || part == 0 || !(0.1..=99.9).contains(&percent) {
        return format!("{} %", percentage(part, whole));
    }
    format!("{percent:.1} %")
}

fn correct(confusion: &ConfusionMatrix) -> u64 {
    let is_correct = |entry: &Confusion| entry.actual == entry.predicted;
    let entries = confusion.entries().filter(is_correct);
    entries.map(|entry| entry.images).sum()
}

/// Returns the name of a class, truncated to `most` characters, or its number if it has no name.
fn name(classes: &[String], class: usize, most: usize) -> String {
    match classes.get(class) {
        Some(name) => shortened(name, most),
        None => format!("class {class}"),
    }
}
