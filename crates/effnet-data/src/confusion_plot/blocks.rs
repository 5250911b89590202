//! Confusion matrices of many classes, in which neighbouring classes share a cell and the most frequent
//! mistakes are listed.

use super::name;
use crate::drawing::{
    Across, BLUE, Canvas, DARK_ORANGE, Down, FAINT, INK, Label, ORANGE, Rect, grouped, percentage, tint,
};
use crate::metrics::ConfusionMatrix;

/// Size of the plot without its heading, in pixels.
pub(crate) const SIZE: (u32, u32) = (1480, 860);

/// Side of the matrix, in pixels.
const SIDE: usize = 750;
const LEFT: i32 = 90;
const TOP: i32 = 6;
/// Maximum number of cells along a side, at three pixels each.
const MOST_CELLS: usize = SIDE / 3;
/// Left edge of the list of mistakes.
const LIST: i32 = LEFT + SIDE as i32 + 50;
const LINE: i32 = 27;
const LISTED: usize = 28;
/// Maximum length of a class name, in characters.
const NAME: usize = 26;

/// Draws the matrix below `top`.
pub(crate) fn draw(canvas: &mut Canvas, top: i32, confusion: &ConfusionMatrix, classes: &[String]) {
    let top = top + TOP;
    draw_matrix(canvas, top, confusion);
    draw_axes(canvas, top, confusion.num_classes());
    draw_mistakes(canvas, top, confusion, classes);
}

fn draw_matrix(canvas: &mut Canvas, top: i32, confusion: &ConfusionMatrix) {
    let classes = confusion.num_classes();
    let cells = classes.min(MOST_CELLS);
    let cell = |class: usize| class * cells / classes;
    let mut right = vec![0u64; cells];
    let mut counts = vec![0u64; cells * cells];
    for entry in confusion.entries() {
        counts[cell(entry.actual) * cells + cell(entry.predicted)] += entry.images;
        if entry.actual == entry.predicted {
            right[cell(entry.actual)] += entry.images;
        }
    }
    let pixel = |cell: usize| (cell * SIDE / cells) as i32;
    for (row, counts) in counts.chunks_exact(cells).enumerate() {
        let images: u64 = counts.iter().sum();
        for (column, &count) in counts.iter().enumerate().filter(|&(_, &count)| count > 0) {
            let part = |count: u64| count as f64 / images as f64;
            // A diagonal cell also contains confusions between neighbouring classes, so its colour depends
            // only on its correct predictions.
            let color = if row == column {
                tint(BLUE, part(right[row]))
            } else {
                tint(ORANGE, (4.0 * part(count)).sqrt())
            };
            let block = Rect {
                left: LEFT + pixel(column),
                top: top + pixel(row),
                right: LEFT + pixel(column + 1),
                bottom: top + pixel(row + 1),
            };
            canvas.fill(block, color);
        }
    }
}

fn draw_axes(canvas: &mut Canvas, top: i32, classes: usize) {
    let end = SIDE as i32;
    let frame = Rect {
        left: LEFT - 1,
        top: top - 1,
        right: LEFT + end + 1,
        bottom: top + end + 1,
    };
    canvas.frame(frame, FAINT);
    for class in (0..classes).step_by(tick_distance(classes)) {
        let along = ((2 * class + 1) * SIDE / (2 * classes)) as i32;
        let text = grouped(class as u64);
        let row = Label::new(15, INK).at(Across::Right, Down::Center);
        canvas.text(&text, (LEFT - 8, top + along), row);
        let column = Label::new(15, INK).at(Across::Center, Down::Top);
        canvas.text(&text, (LEFT + along, top + end + 8), column);
    }
    let title = Label::new(16, INK).at(Across::Center, Down::Top);
    canvas.text("predicted class", (LEFT + end / 2, top + end + 34), title);
    canvas.text("true class", (16, top + end / 2), title.turned());
}

/// Returns the distance between ticks, 10, 20, 50, 100, ..., such that about ten fit.
fn tick_distance(classes: usize) -> usize {
    let steps = (1..).flat_map(|power| [1, 2, 5].map(|digit| digit * 10usize.pow(power)));
    let mut enough = steps.skip_while(|step| classes / step > 10);
    enough.next().unwrap_or(classes)
}

fn draw_mistakes(canvas: &mut Canvas, top: i32, confusion: &ConfusionMatrix, classes: &[String]) {
    canvas.text(
        "most frequent mistakes: true → predicted class",
        (LIST, top),
        Label::new(17, INK).bold(),
    );
    let support = confusion.support();
    let count = Label::new(15, DARK_ORANGE).at(Across::Right, Down::Top);
    for (line, mistake) in confusion.mistakes().iter().take(LISTED).enumerate() {
        let y = top + 34 + line as i32 * LINE;
        let percent = percentage(mistake.images, support[mistake.actual]);
        let images = grouped(mistake.images);
        canvas.text(&format!("{images} ({percent} %)"), (LIST + 90, y), count);
        let pair = format!(
            "{} → {}",
            name(classes, mistake.actual, NAME),
            name(classes, mistake.predicted, NAME)
        );
        canvas.text(&pair, (LIST + 104, y), Label::new(15, INK));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_ten_ticks_fit_along_a_side() {
        let distances = [41, 100, 101, 200, 500, 1000, 21843].map(tick_distance);
        assert_eq!(distances, [10, 10, 10, 20, 50, 100, 2000]);
    }
}
