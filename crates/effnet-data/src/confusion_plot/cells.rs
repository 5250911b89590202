//! Confusion matrices of few classes, with one cell per pair of classes and names along both sides.

use super::name;
use crate::drawing::{
    Across, BLUE, Canvas, Down, FAINT, GRID, INK, Label, ORANGE, Rect, grouped, percentage, readable_on,
    tint, width_of,
};
use crate::metrics::ConfusionMatrix;

/// Maximum length of a class name, in characters.
const NAME: usize = 22;
const MARGIN: i32 = 20;
/// Room for the title of an axis.
const AXIS: i32 = 30;
/// Maximum number of classes whose cells have room for numbers.
const MOST_NUMBERED: usize = 20;
/// Side of cells that have room for counts too, in pixels.
const WIDE: i32 = 60;

/// Position and cell size of the matrix, in pixels.
struct Layout {
    classes: usize,
    /// Width of the axis title, row names and counts to the left of the cells.
    left: i32,
    /// Side of a cell.
    cell: i32,
    /// Height of the precision below the cells, if it is shown.
    precision: i32,
    /// Height of the column names and the axis title below that.
    bottom: i32,
}

impl Layout {
    fn new(confusion: &ConfusionMatrix, classes: &[String]) -> Self {
        let count = confusion.num_classes();
        let cell = match count {
            0..=6 => 88,
            7..=12 => 64,
            13..=MOST_NUMBERED => 46,
            _ => 26,
        };
        let numbered = count <= MOST_NUMBERED;
        let label = names(cell);
        let support = confusion.support();
        let rows = (0..count).map(|class| width_of(&row_name(classes, class, &support), label));
        let columns = (0..count).map(|class| width_of(&name(classes, class, NAME), label));
        let precision = if numbered { width_of("precision", label) } else { 0 };
        Self {
            classes: count,
            left: AXIS + rows.fold(precision, u32::max) as i32 + 10,
            cell,
            precision: if numbered { 30 } else { 0 },
            bottom: columns.max().unwrap_or(0) as i32 + 10 + AXIS + MARGIN / 2,
        }
    }

    fn side(&self) -> i32 {
        self.cell * self.classes as i32
    }
}

/// Returns the style in which class names are drawn.
fn names(cell: i32) -> Label {
    Label::new(if cell < 30 { 14 } else { 15 }, INK)
}

/// Returns the name of a class with its number of images.
fn row_name(classes: &[String], class: usize, support: &[u64]) -> String {
    format!("{} ({})", name(classes, class, NAME), grouped(support[class]))
}

/// Returns the size of the matrix with its names, in pixels.
pub(crate) fn size(confusion: &ConfusionMatrix, classes: &[String]) -> (u32, u32) {
    let layout = Layout::new(confusion, classes);
    let width = layout.left + layout.side() + MARGIN;
    let height = layout.side() + layout.precision + layout.bottom;
    (width as u32, height as u32)
}

/// Draws the matrix below `top`.
pub(crate) fn draw(canvas: &mut Canvas, top: i32, confusion: &ConfusionMatrix, classes: &[String]) {
    let layout = Layout::new(confusion, classes);
    let support = confusion.support();
    draw_names(canvas, top, &layout, classes, &support);
    for (actual, &images) in support.iter().enumerate() {
        for predicted in 0..support.len() {
            let left = layout.left + predicted as i32 * layout.cell;
            let cell_top = top + actual as i32 * layout.cell;
            let cell = Rect {
                left,
                top: cell_top,
                right: left + layout.cell,
                bottom: cell_top + layout.cell,
            };
            let found = confusion.get(actual, predicted);
            draw_cell(canvas, cell, found, images, actual == predicted);
        }
    }
    if layout.precision > 0 {
        draw_precision(canvas, top, &layout, confusion);
    }
}

fn draw_names(canvas: &mut Canvas, top: i32, layout: &Layout, classes: &[String], support: &[u64]) {
    let below = top + layout.side() + layout.precision;
    for class in 0..layout.classes {
        let middle = class as i32 * layout.cell + layout.cell / 2;
        let label = names(layout.cell).at(Across::Right, Down::Center);
        let row = row_name(classes, class, support);
        canvas.text(&row, (layout.left - 10, top + middle), label);
        let column = name(classes, class, NAME);
        canvas.text(&column, (layout.left + middle, below + 10), label.turned());
    }
    let title = Label::new(16, FAINT).at(Across::Center, Down::Top);
    let middle = layout.side() / 2;
    canvas.text("true class (images)", (8, top + middle), title.turned());
    let bottom = below + layout.bottom - AXIS;
    canvas.text("predicted class", (layout.left + middle, bottom), title);
}

/// Draws the precision of each class: the fraction of the images predicted as the class that belong to it.
fn draw_precision(canvas: &mut Canvas, top: i32, layout: &Layout, confusion: &ConfusionMatrix) {
    let mut predicted = vec![0; layout.classes];
    for entry in confusion.entries() {
        predicted[entry.predicted] += entry.images;
    }
    let y = top + layout.side() + layout.precision / 2;
    let label = Label::new(15, FAINT);
    canvas.text(
        "precision",
        (layout.left - 10, y),
        label.at(Across::Right, Down::Center),
    );
    for (class, images) in predicted.into_iter().enumerate() {
        let text = match images {
            0 => "–".to_owned(),
            images => percentage(confusion.get(class, class), images),
        };
        let x = layout.left + class as i32 * layout.cell + layout.cell / 2;
        canvas.text(&text, (x, y), label.at(Across::Center, Down::Center));
    }
}

/// Draws a cell for `found` of the `images` of its row.
fn draw_cell(canvas: &mut Canvas, cell: Rect, found: u64, images: u64, is_correct: bool) {
    let part = found as f64 / images.max(1) as f64;
    // The square root keeps rare mistakes visible.
    let strength = if is_correct { part } else { part.sqrt() };
    let color = tint(if is_correct { BLUE } else { ORANGE }, strength);
    canvas.fill(cell, color);
    canvas.frame(cell, GRID);
    let side = cell.right - cell.left;
    if found == 0 || side <= 30 {
        return;
    }
    let middle = (
        i32::midpoint(cell.left, cell.right),
        i32::midpoint(cell.top, cell.bottom),
    );
    let ink = readable_on(color);
    let centered = |size| Label::new(size, ink).at(Across::Center, Down::Center);
    let percent = percentage(found, images);
    if side < WIDE {
        canvas.text(&percent, middle, centered(15));
        return;
    }
    canvas.text(&percent, (middle.0, middle.1 - 8), centered(18));
    canvas.text(&grouped(found), (middle.0, middle.1 + 13), centered(13));
}
