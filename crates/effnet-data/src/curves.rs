//! Line plots over epochs or steps: loss, accuracy, learning rate.

use std::ops::Range;

use plotters::chart::{ChartBuilder, ChartContext, SeriesLabelPosition};
use plotters::coord::types::RangedCoordf64;
use plotters::element::{Circle, PathElement, Text};
use plotters::prelude::{BitMapBackend, Cartesian2d};
use plotters::series::LineSeries;
use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{Color, RGBColor, WHITE};

use super::drawing::{Area, BLUE, FAINT, GRID, INK, ORANGE, anchor, bold, draw_png, failed, text};
use crate::PlotError;

/// One curve of a panel. Points that are not finite are skipped.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Name in the legend.
    pub name: String,
    /// Points `(x, y)` in ascending order of `x`.
    pub points: Vec<(f64, f64)>,
}

/// A plot of curves that share axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// The quantity, with its unit.
    pub title: String,
    /// The curves; the two colours alternate.
    pub curves: Vec<Curve>,
    /// Whether to mark the highest point of the first curve.
    pub mark_highest: bool,
}

const PANEL: (u32, u32) = (560, 460);
const TITLE: u32 = 52;
const COLORS: [RGBColor; 2] = [BLUE, ORANGE];
/// Curves with more points are drawn without dots.
const MOST_DOTS: usize = 40;

/// Draws the panels side by side below a title, as a PNG; `x_name` labels all x axes.
///
/// # Errors
/// [`PlotError::Draw`].
pub fn curves_png(title: &str, x_name: &str, panels: &[Panel]) -> Result<Vec<u8>, PlotError> {
    let size = (PANEL.0 * panels.len().max(1) as u32, PANEL.1 + TITLE);
    draw_png(size, |area| {
        let heading = Text::new(title, (20, 18), bold(22, INK));
        area.draw(&heading).map_err(failed)?;
        let (_, body) = area.split_vertically(TITLE);
        for (panel, area) in panels.iter().zip(body.split_evenly((1, panels.len().max(1)))) {
            draw_panel(&area, panel, x_name)?;
        }
        Ok(())
    })
}

/// A curve as drawn: its finite points and its colour.
struct Line<'a> {
    name: &'a str,
    points: Vec<(f64, f64)>,
    color: RGBColor,
}

type Chart<'a, 'b> = ChartContext<'a, BitMapBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

fn draw_panel(area: &Area<'_>, panel: &Panel, x_name: &str) -> Result<(), PlotError> {
    let colored = panel.curves.iter().zip(COLORS.into_iter().cycle());
    let lines: Vec<Line<'_>> = colored
        .map(|(curve, color)| Line {
            name: &curve.name,
            points: finite(&curve.points),
            color,
        })
        .filter(|line| !line.points.is_empty())
        .collect();
    let Some(first) = lines.first() else {
        let place = (PANEL.0 as i32 / 2, PANEL.1 as i32 / 2);
        let style = text(18, FAINT).pos(anchor(HPos::Center, VPos::Center));
        let note = Text::new(format!("no {} yet", panel.title), place, style);
        return area.draw(&note).map_err(failed);
    };
    let best = highest(&first.points).filter(|_| panel.mark_highest);
    let caption = match best {
        Some((x, y)) => format!("{}, best {} in {x_name} {x:.0}", panel.title, number(y)),
        None => panel.title.clone(),
    };
    let points = || lines.iter().flat_map(|line| &line.points);
    let mut chart = ChartBuilder::on(area)
        .caption(caption, text(19, INK))
        .margin(12)
        .margin_right(24)
        .x_label_area_size(46)
        .y_label_area_size(70)
        .build_cartesian_2d(
            x_range(points().map(|point| point.0)),
            y_range(points().map(|point| point.1)),
        )
        .map_err(failed)?;
    draw_axes(&mut chart, x_name)?;
    for line in &lines {
        draw_line(&mut chart, line)?;
    }
    if let Some(best) = best {
        let ring = Circle::new(best, 6, first.color.stroke_width(2));
        chart.draw_series([ring]).map_err(failed)?;
    }
    if lines.len() == 1 {
        return Ok(());
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::MiddleRight)
        .background_style(WHITE.mix(0.85))
        .border_style(GRID)
        .label_font(text(16, INK))
        .margin(8)
        .draw()
        .map_err(failed)
}

fn draw_axes(chart: &mut Chart<'_, '_>, x_name: &str) -> Result<(), PlotError> {
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(GRID)
        .axis_style(FAINT)
        .x_desc(x_name)
        .x_labels(8)
        .y_labels(7)
        // Label only whole epochs or steps.
        .x_label_formatter(&|x| {
            let is_whole = (x - x.round()).abs() < 1e-6;
            if is_whole {
                format!("{x:.0}")
            } else {
                String::new()
            }
        })
        .y_label_formatter(&|y| number(*y))
        .label_style(text(16, INK))
        .axis_desc_style(text(17, INK))
        .draw()
        .map_err(failed)
}

fn draw_line(chart: &mut Chart<'_, '_>, line: &Line<'_>) -> Result<(), PlotError> {
    let (points, color) = (&line.points, line.color);
    let few = points.len() <= MOST_DOTS;
    // Only lines of width 1 are antialiased, which dense curves need.
    let stroke = color.stroke_width(if few { 2 } else { 1 });
    chart
        .draw_series(LineSeries::new(points.iter().copied(), stroke))
        .map_err(failed)?
        .label(line.name)
        .legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], color.stroke_width(3)));
    if few {
        let dots = points.iter().map(|&point| Circle::new(point, 3, color.filled()));
        chart.draw_series(dots).map_err(failed)?;
    }
    Ok(())
}

/// The highest point; the first of several.
fn highest(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let higher = |best: (f64, f64), point: (f64, f64)| if point.1 > best.1 { point } else { best };
    points.iter().copied().reduce(higher)
}

fn finite(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let is_finite = |point: &&(f64, f64)| point.0.is_finite() && point.1.is_finite();
    points.iter().filter(is_finite).copied().collect()
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}

/// The range of the values, with room for dots at both ends.
fn x_range(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (low, high) = bounds(values);
    let margin = ((high - low) * 0.02).max(0.2);
    low - margin..high + margin
}

/// The range of the values with a margin; never empty.
fn y_range(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (low, high) = bounds(values);
    let margin = match (high - low) * 0.06 {
        margin if margin > 0.0 => margin,
        _ if high == 0.0 => 1.0,
        _ => high.abs() * 0.1,
    };
    // The axis does not go below 0 unless the values do.
    let bottom = if low >= 0.0 {
        (low - margin).max(0.0)
    } else {
        low - margin
    };
    bottom..high + margin
}

/// About three significant digits, without trailing zeros.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => return "0".to_owned(),
        size if size < 1e-3 => return format!("{value:.1e}"),
        size if size < 0.1 => 4,
        size if size < 10.0 => 2,
        size if size < 1000.0 => 1,
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
    fn labels_are_short() {
        let values = [0.0, 2e-5, 0.004, 0.0125, 0.5, 1.25, 87.24, 100.0, 12345.6];
        let expected = [
            "0", "2.0e-5", "0.004", "0.0125", "0.5", "1.25", "87.2", "100", "12346",
        ];
        assert_eq!(values.map(number), expected);
    }
}
