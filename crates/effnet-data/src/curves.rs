//! Line plots of loss, accuracy and learning rate over epochs, and of a learning-rate range test.

mod axis;

use crate::PlotError;
use crate::drawing::{
    Across, BLUE, Canvas, Color, Down, FAINT, GRID, INK, Label, ORANGE, Rect, bounds, grouped, width_of,
};
pub use axis::Axis;

/// One curve of a panel. Points that are not finite are skipped.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Curve {
    /// Name in the legend.
    pub name: String,
    /// Points `(x, y)` in ascending order of `x`.
    pub points: Vec<(f64, f64)>,
}

impl Curve {
    /// Creates a curve with this name in the legend.
    pub fn new(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        let name = name.into();
        Self { name, points }
    }
}

/// A plot of curves that share axes.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option")]
#[non_exhaustive]
pub struct Panel {
    /// The quantity.
    pub title: String,
    /// Its unit, such as `%`; may be empty.
    pub unit: String,
    /// The curves; the two colours alternate.
    pub curves: Vec<Curve>,
    /// The `x` of the point on the first curve to mark with a ring.
    pub mark: Option<f64>,
    /// Whether the marked point is the best one; if so, the title says so.
    pub mark_is_best: bool,
    /// Whether the `x` axis is logarithmic. Points with an `x` of 0 or less are then skipped.
    pub logarithmic: bool,
    /// Whether the `x` axis has fractions, rather than epochs.
    pub continuous: bool,
    /// Whether the first curve is drawn as dots, as a scatter plot.
    pub scattered: bool,
}

impl Panel {
    /// Creates an empty panel for this quantity.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            ..Self::default()
        }
    }

    /// Sets [`unit`](Self::unit).
    #[must_use]
    pub fn with_unit(mut self, unit: impl Into<String>) -> Self {
        self.unit = unit.into();
        self
    }

    /// Adds a curve.
    #[must_use]
    pub fn with_curve(mut self, curve: Curve) -> Self {
        self.curves.push(curve);
        self
    }

    /// Sets [`mark`](Self::mark).
    #[must_use]
    pub fn with_mark(mut self, mark: impl Into<Option<f64>>) -> Self {
        self.mark = mark.into();
        self
    }

    /// Marks the point at `best`, and names it in the title.
    #[must_use]
    pub fn with_best(mut self, best: impl Into<Option<f64>>) -> Self {
        (self.mark, self.mark_is_best) = (best.into(), true);
        self
    }

    /// Sets [`logarithmic`](Self::logarithmic).
    #[must_use]
    pub fn with_logarithmic(mut self, logarithmic: bool) -> Self {
        self.logarithmic = logarithmic;
        self
    }

    /// Sets [`continuous`](Self::continuous).
    #[must_use]
    pub fn with_continuous(mut self, continuous: bool) -> Self {
        self.continuous = continuous;
        self
    }

    /// Sets [`scattered`](Self::scattered).
    #[must_use]
    pub fn with_scattered(mut self, scattered: bool) -> Self {
        self.scattered = scattered;
        self
    }

    /// Returns the axes of `x` and `y` for the points that are drawn.
    pub fn axes(&self, points: impl Iterator<Item = (f64, f64)> + Clone) -> [Axis; 2] {
        let x = bounds(points.clone().map(|point| point.0));
        let y = bounds(points.map(|point| point.1));
        let x = if self.logarithmic {
            Axis::decades(x)
        } else if self.continuous {
            Axis::numbers(x)
        } else {
            Axis::whole_numbers(x)
        };
        let y = if self.unit == "%" {
            Axis::percentages(y)
        } else {
            Axis::numbers(y)
        };
        [x, y]
    }
}

const PANEL: (u32, u32) = (560, 460);
const TITLE: u32 = 52;
const COLORS: [Color; 2] = [BLUE, ORANGE];
/// Curves with more points are drawn without dots.
const MOST_DOTS: usize = 40;
const THICKNESS: f64 = 2.0;

/// Draws the panels side by side below a title, as a PNG; `x_name` labels all x axes.
///
/// # Errors
/// [`PlotError::Draw`].
pub fn curves_png(title: &str, x_name: &str, panels: &[Panel]) -> Result<Vec<u8>, PlotError> {
    let count = panels.len().max(1) as u32;
    let mut canvas = Canvas::new((PANEL.0 * count, PANEL.1 + TITLE));
    canvas.text(title, (20, 16), Label::new(22, INK).bold());
    for (index, panel) in panels.iter().enumerate() {
        draw_panel(&mut canvas, index as i32 * PANEL.0 as i32, panel, x_name);
    }
    canvas.into_png()
}

/// A curve as drawn: its finite points and its colour.
struct Line<'a> {
    name: &'a str,
    points: Vec<(f64, f64)>,
    color: Color,
}

fn draw_panel(canvas: &mut Canvas, left: i32, panel: &Panel, x_name: &str) {
    let top = TITLE as i32;
    let colored = panel.curves.iter().zip(COLORS.into_iter().cycle());
    let lines: Vec<Line<'_>> = colored
        .map(|(curve, color)| Line {
            name: &curve.name,
            points: drawable(&curve.points, panel.logarithmic),
            color,
        })
        .filter(|line| !line.points.is_empty())
        .collect();
    let Some(first) = lines.first() else {
        let place = (left + PANEL.0 as i32 / 2, top + PANEL.1 as i32 / 2);
        let label = Label::new(18, FAINT).at(Across::Center, Down::Center);
        canvas.text(&format!("no {} yet", panel.title), place, label);
        return;
    };
    let mark = panel.mark.and_then(|x| at(first, x));
    let middle = left + PANEL.0 as i32 / 2;
    let label = Label::new(19, INK).at(Across::Center, Down::Top);
    canvas.text(&caption(panel, x_name, mark), (middle, top + 6), label);
    draw_legend(canvas, (left + 70, top + 40), &lines);
    let plot = Rect {
        left: left + 70,
        top: top + 62,
        right: left + PANEL.0 as i32 - 24,
        bottom: top + PANEL.1 as i32 - 58,
    };
    let chart = Chart::new(plot, &lines, panel);
    chart.draw_axes(canvas, x_name);
    for (index, line) in lines.iter().enumerate() {
        if panel.scattered && index == 0 {
            chart.draw_dots(canvas, line);
        } else {
            chart.draw_line(canvas, line);
        }
    }
    if let Some(mark) = mark {
        let center = chart.place(mark);
        canvas.ring(center, 6.0, 2.0, first.color);
        canvas.disc(center, 3.0, first.color);
    }
}

/// Returns a caption such as `validation accuracy (%), best 99.3 % in epoch 3`.
fn caption(panel: &Panel, x_name: &str, mark: Option<(f64, f64)>) -> String {
    let Panel { title, unit, .. } = panel;
    let title = match unit.as_str() {
        "" => title.clone(),
        unit => format!("{title} ({unit})"),
    };
    match mark.filter(|_| panel.mark_is_best) {
        Some((x, y)) => {
            let space = if unit.is_empty() { "" } else { " " };
            format!("{title}, best {}{space}{unit} in {x_name} {x:.0}", number(y))
        }
        None => title,
    }
}

/// Returns the point of a line with this `x`.
fn at(line: &Line<'_>, x: f64) -> Option<(f64, f64)> {
    line.points.iter().copied().find(|point| point.0 == x)
}

/// Draws the names of the lines in a row above the plot, where no point can be.
fn draw_legend(canvas: &mut Canvas, (left, y): (i32, i32), lines: &[Line<'_>]) {
    let label = Label::new(16, INK).at(Across::Left, Down::Center);
    let mut x = left;
    for line in lines.iter().filter(|line| !line.name.is_empty()) {
        let height = f64::from(y) + 0.5;
        let sample = [(f64::from(x), height), (f64::from(x + 22), height)];
        canvas.line(&sample, 3.0, line.color);
        canvas.text(line.name, (x + 30, y), label);
        x += 30 + width_of(line.name, label) as i32 + 26;
    }
}

/// The rectangle of a plot, and its axes.
struct Chart {
    plot: Rect,
    x: Axis,
    y: Axis,
}

impl Chart {
    fn new(plot: Rect, lines: &[Line<'_>], panel: &Panel) -> Self {
        let points = lines.iter().flat_map(|line| &line.points).copied();
        let [x, y] = panel.axes(points);
        Self { plot, x, y }
    }

    /// Returns the position of a point on the canvas.
    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let Rect {
            left,
            top,
            right,
            bottom,
        } = self.plot;
        (
            f64::from(left) + self.x.fraction(x) * f64::from(right - left),
            f64::from(bottom) - self.y.fraction(y) * f64::from(bottom - top),
        )
    }

    fn draw_axes(&self, canvas: &mut Canvas, x_name: &str) {
        let plot = self.plot;
        for (value, text) in self.y.ticks() {
            let y = self.place((0.0, value)).1.round() as i32;
            canvas.fill(
                Rect {
                    top: y,
                    bottom: y + 1,
                    ..plot
                },
                GRID,
            );
            let label = Label::new(16, INK).at(Across::Right, Down::Center);
            canvas.text(&text, (plot.left - 8, y), label);
        }
        for (value, text) in self.x.ticks() {
            let x = self.place((value, 0.0)).0.round() as i32;
            canvas.fill(
                Rect {
                    left: x,
                    right: x + 1,
                    ..plot
                },
                GRID,
            );
            let label = Label::new(16, INK).at(Across::Center, Down::Top);
            canvas.text(&text, (x, plot.bottom + 6), label);
        }
        let axis = [
            Rect {
                top: plot.bottom,
                bottom: plot.bottom + 1,
                ..plot
            },
            Rect {
                right: plot.left + 1,
                ..plot
            },
        ];
        for side in axis {
            canvas.fill(side, FAINT);
        }
        let label = Label::new(17, INK).at(Across::Center, Down::Top);
        canvas.text(
            x_name,
            (i32::midpoint(plot.left, plot.right), plot.bottom + 28),
            label,
        );
    }

    fn draw_dots(&self, canvas: &mut Canvas, line: &Line<'_>) {
        for &point in &line.points {
            canvas.disc(self.place(point), 2.5, line.color);
        }
    }

    fn draw_line(&self, canvas: &mut Canvas, line: &Line<'_>) {
        let points: Vec<(f64, f64)> = line.points.iter().map(|&point| self.place(point)).collect();
        canvas.line(&points, THICKNESS, line.color);
        if points.len() <= MOST_DOTS {
            for point in points {
                canvas.disc(point, 3.0, line.color);
            }
        }
    }
}

fn drawable(points: &[(f64, f64)], logarithmic: bool) -> Vec<(f64, f64)> {
    let can_be_drawn =
        |point: &&(f64, f64)| point.0.is_finite() && point.1.is_finite() && (!logarithmic || point.0 > 0.0);
    points.iter().filter(can_be_drawn).copied().collect()
}

/// Formats a number with about three significant digits, without trailing zeros.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => return "0".to_owned(),
        size if size < 1e-3 => return format!("{value:.1e}"),
        size if size < 0.1 => 4,
        size if size < 10.0 => 2,
        size if size < 1000.0 => 1,
        _ if value > 0.0 => return grouped(value.round() as u64),
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    match text.split_once('.') {
        Some(_) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let values = [0.0, 2e-5, 0.004, 0.0125, 0.5, 1.25, 87.24, 100.0, 12345.6];
        let expected = [
            "0", "2.0e-5", "0.004", "0.0125", "0.5", "1.25", "87.2", "100", "12,346",
        ];
        assert_eq!(values.map(number), expected);
    }

    #[test]
    fn the_caption_names_the_best_point_with_its_unit() {
        let points = vec![(1.0, 99.3), (2.0, 98.0), (3.0, 99.3)];
        let panel = Panel::new("validation accuracy")
            .with_unit("%")
            .with_curve(Curve::new("top-1", points.clone()))
            .with_best(Some(3.0));
        let line = Line {
            name: "top-1",
            points,
            color: BLUE,
        };
        let best = at(&line, 3.0);
        let expected = "validation accuracy (%), best 99.3 % in epoch 3";
        assert_eq!(caption(&panel, "epoch", best), expected);
        assert_eq!(at(&line, 4.0), None);
        assert_eq!(caption(&panel, "epoch", None), "validation accuracy (%)");
    }

    #[test]
    fn no_point_lies_in_the_legend() {
        let points = vec![(1.0, 5.0), (2.0, -3.0), (40.0, 900.0)];
        let line = Line {
            name: "",
            points,
            color: BLUE,
        };
        let plot = Rect {
            left: 70,
            top: 114,
            right: 536,
            bottom: 454,
        };
        let chart = Chart::new(plot, std::slice::from_ref(&line), &Panel::default());
        for &point in &line.points {
            let (x, y) = chart.place(point);
            assert!(x > 75.0 && x < 530.0 && y > 120.0 && y < 450.0, "{x}, {y}");
        }
    }
}
