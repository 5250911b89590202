//! Confusion matrices of many classes: neighbours share a cell, and the most frequent mistakes are listed.

use plotters::element::{Rectangle, Text};
use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{Color, FontTransform};

use super::name;
use crate::PlotError;
use crate::drawing::{Area, BLUE, FAINT, INK, ORANGE, anchor, bold, failed, text, tint};
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

pub(crate) fn draw(
    area: &Area<'_>,
    confusion: &ConfusionMatrix,
    classes: &[String],
) -> Result<(), PlotError> {
    draw_matrix(area, confusion)?;
    draw_axes(area, confusion.num_classes())?;
    draw_mistakes(area, confusion, classes)
}

fn draw_matrix(area: &Area<'_>, confusion: &ConfusionMatrix) -> Result<(), PlotError> {
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
            // A diagonal cell also contains confusions between neighbouring classes; colour it by its correct
            // predictions alone.
            let color = if row == column {
                tint(BLUE, part(right[row]))
            } else {
                tint(ORANGE, (4.0 * part(count)).sqrt())
            };
            let corners = [
                (LEFT + pixel(column), TOP + pixel(row)),
                (LEFT + pixel(column + 1), TOP + pixel(row + 1)),
            ];
            area.draw(&Rectangle::new(corners, color.filled()))
                .map_err(failed)?;
        }
    }
    Ok(())
}

fn draw_axes(area: &Area<'_>, classes: usize) -> Result<(), PlotError> {
    let end = SIDE as i32;
    let frame = [(LEFT, TOP), (LEFT + end, TOP + end)];
    area.draw(&Rectangle::new(frame, FAINT.stroke_width(1)))
        .map_err(failed)?;
    let every = tick_distance(classes);
    for class in (0..classes).step_by(every) {
        let along = ((2 * class + 1) * SIDE / (2 * classes)) as i32;
        let row = text(15, INK).pos(anchor(HPos::Right, VPos::Center));
        let column = text(15, INK).pos(anchor(HPos::Center, VPos::Top));
        let ticks = [
            Text::new(class.to_string(), (LEFT - 8, TOP + along), row),
            Text::new(class.to_string(), (LEFT + along, TOP + end + 8), column),
        ];
        for tick in ticks {
            area.draw(&tick).map_err(failed)?;
        }
    }
    let across = text(16, INK).pos(anchor(HPos::Center, VPos::Top));
    let x_label = Text::new(
        "predicted class",
        (LEFT + end / 2, TOP + end + 34),
        across.clone(),
    );
    area.draw(&x_label).map_err(failed)?;
    let turned = across.transform(FontTransform::Rotate270);
    let y_label = Text::new("true class", (16, TOP + end / 2), turned);
    area.draw(&y_label).map_err(failed)
}

/// The distance of ticks, 10, 20, 50, 100, ..., so that about ten fit.
fn tick_distance(classes: usize) -> usize {
    let steps = (1..).flat_map(|power| [1, 2, 5].map(|digit| digit * 10usize.pow(power)));
    let mut enough = steps.skip_while(|step| classes / step > 10);
    enough.next().unwrap_or(classes)
}

fn draw_mistakes(area: &Area<'_>, confusion: &ConfusionMatrix, classes: &[String]) -> Result<(), PlotError> {
    let heading = Text::new("most frequent mistakes", (LIST, TOP), bold(17, INK));
    area.draw(&heading).map_err(failed)?;
    let support = confusion.support();
    for (line, mistake) in confusion.mistakes().iter().take(LISTED).enumerate() {
        let y = TOP + 34 + line as i32 * LINE;
        let percent = 100.0 * mistake.images as f64 / support[mistake.actual] as f64;
        let number = text(15, ORANGE).pos(anchor(HPos::Right, VPos::Top));
        let count = Text::new(
            format!("{} ({percent:.0} %)", mistake.images),
            (LIST + 90, y),
            number,
        );
        area.draw(&count).map_err(failed)?;
        let pair = format!(
            "{} → {}",
            name(classes, mistake.actual, NAME),
            name(classes, mistake.predicted, NAME)
        );
        area.draw(&Text::new(pair, (LIST + 104, y), text(15, INK)))
            .map_err(failed)?;
    }
    Ok(())
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
