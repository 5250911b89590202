//! Confusion matrices of few classes: one cell per pair of classes, with names along both sides.

use plotters::element::{Rectangle, Text};
use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{Color, FontTransform, WHITE};

use super::name;
use crate::PlotError;
use crate::drawing::{Area, BLUE, GRID, INK, ORANGE, anchor, failed, text, tint};
use crate::metrics::ConfusionMatrix;

/// Maximum length of a class name, in characters.
const NAME: usize = 22;
/// Average width of a character and width of a margin, in pixels.
const CHARACTER: u32 = 8;
const MARGIN: u32 = 20;
/// Maximum number of classes whose cells have room for numbers.
const MOST_NUMBERED: usize = 20;

/// Position and cell size of the matrix, in pixels.
struct Layout {
    /// Width of the row names and counts, left of the cells.
    left: u32,
    /// Side of a cell.
    cell: u32,
    /// Height of the column names, below the cells.
    bottom: u32,
}

impl Layout {
    fn new(confusion: &ConfusionMatrix, classes: &[String]) -> Self {
        let count = confusion.num_classes();
        let longest = (0..count)
            .map(|class| name(classes, class, NAME).chars().count() as u32)
            .max()
            .unwrap_or(0);
        let digits = confusion
            .support()
            .iter()
            .max()
            .map_or(1, |most| most.to_string().len());
        Self {
            left: MARGIN + (longest + digits as u32 + 4) * CHARACTER + 8,
            cell: match count {
                0..=6 => 88,
                7..=12 => 64,
                13..=MOST_NUMBERED => 46,
                _ => 26,
            },
            bottom: longest * CHARACTER + MARGIN + 8,
        }
    }
}

/// Size of the matrix with its names, in pixels.
pub(crate) fn size(confusion: &ConfusionMatrix, classes: &[String]) -> (u32, u32) {
    let layout = Layout::new(confusion, classes);
    let side = layout.cell * confusion.num_classes() as u32;
    // Leave room for the heading.
    ((layout.left + side + 2 * MARGIN).max(760), side + layout.bottom)
}

pub(crate) fn draw(
    area: &Area<'_>,
    confusion: &ConfusionMatrix,
    classes: &[String],
) -> Result<(), PlotError> {
    let layout = Layout::new(confusion, classes);
    let support = confusion.support();
    let place = |class: usize| class as i32 * layout.cell as i32;
    let left = layout.left as i32;
    let half = layout.cell as i32 / 2;
    let bottom = place(confusion.num_classes());
    let letters = if layout.cell < 30 { 14 } else { 15 };
    for (actual, &images) in support.iter().enumerate() {
        let label = format!("{} ({images})", name(classes, actual, NAME));
        let style = text(letters, INK).pos(anchor(HPos::Right, VPos::Center));
        let label = Text::new(label, (left - 10, place(actual) + half), style);
        area.draw(&label).map_err(failed)?;
        let style = text(letters, INK)
            .transform(FontTransform::Rotate270)
            .pos(anchor(HPos::Right, VPos::Center));
        let label = Text::new(
            name(classes, actual, NAME),
            (left + place(actual) + half, bottom + 10),
            style,
        );
        area.draw(&label).map_err(failed)?;
        for predicted in 0..support.len() {
            let part = confusion.get(actual, predicted) as f64 / images.max(1) as f64;
            let corner = (left + place(predicted), place(actual));
            draw_cell(area, corner, layout.cell, part, actual == predicted)?;
        }
    }
    Ok(())
}

/// Draws a cell; `part` is its fraction of the row.
fn draw_cell(
    area: &Area<'_>,
    (x, y): (i32, i32),
    side: u32,
    part: f64,
    right: bool,
) -> Result<(), PlotError> {
    let side = side as i32;
    // The square root keeps rare mistakes visible.
    let strength = if right { part } else { part.sqrt() };
    let color = tint(if right { BLUE } else { ORANGE }, strength);
    let corners = [(x, y), (x + side, y + side)];
    area.draw(&Rectangle::new(corners, color.filled()))
        .map_err(failed)?;
    area.draw(&Rectangle::new(corners, GRID.stroke_width(1)))
        .map_err(failed)?;
    if part > 0.0 && side > 30 {
        let percent = 100.0 * part;
        let number = if percent < 0.5 {
            "<1".to_owned()
        } else {
            format!("{percent:.0}")
        };
        let ink = if strength > 0.55 { WHITE } else { INK };
        let style = text(if side > 50 { 18 } else { 15 }, ink).pos(anchor(HPos::Center, VPos::Center));
        let number = Text::new(number, (x + side / 2, y + side / 2), style);
        area.draw(&number).map_err(failed)?;
    }
    Ok(())
}
