//! Line charts and scatter plots as SVG within a page, in the page's colours and with its letters.

use std::fmt::Write as _;

use effnet_data::{Axis, Panel};

use super::text;

/// The size of a chart, in units that are pixels in a narrow window.
const SIZE: (f64, f64) = (360.0, 250.0);
const LEFT: f64 = 50.0;
const RIGHT: f64 = 350.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 208.0;
/// The largest number of dots: more make a page slow.
const MOST_DOTS: usize = 1500;
/// Curves with more points are drawn without dots.
const MOST_MARKERS: usize = 40;
/// Curves with more points are drawn with every second or third of them.
const MOST_POINTS: usize = 600;

/// Points with a name, of which those that are not finite are left out.
struct Series<'a> {
    name: &'a str,
    points: Vec<(f64, f64)>,
    /// 1 or 2, by which the style colours and dashes it.
    number: usize,
}

/// Returns a figure with a panel's title, its legend and its curves; `x_name` labels the x axis.
pub(crate) fn figure(panel: &Panel, x_name: &str) -> String {
    let series: Vec<Series<'_>> = panel.curves.iter().enumerate().map(series).collect();
    let series: Vec<_> = series
        .into_iter()
        .filter(|series| !series.points.is_empty())
        .collect();
    let title = match panel.unit.as_str() {
        "" => text(&panel.title),
        unit => format!("{} ({})", text(&panel.title), text(unit)),
    };
    let mut html = format!("<figure class=\"chart\"><figcaption><strong>{title}</strong>");
    for series in series.iter().filter(|series| !series.name.is_empty()) {
        let _ = write!(
            html,
            " <span class=\"key\"><svg width=\"22\" height=\"8\" aria-hidden=\"true\"><path class=\"s{}\" d=\"M0 \
             4H22\"/></svg> {}</span>",
            series.number,
            text(series.name)
        );
    }
    html.push_str("</figcaption>");
    if series.is_empty() {
        html.push_str("<p>nothing yet</p>");
    } else {
        html.push_str(&drawing(panel, x_name, &series));
    }
    html.push_str("</figure>");
    html
}

fn series((index, curve): (usize, &effnet_data::Curve)) -> Series<'_> {
    let finite = |point: &&(f64, f64)| point.0.is_finite() && point.1.is_finite();
    Series {
        name: &curve.name,
        points: curve.points.iter().filter(finite).copied().collect(),
        number: 1 + index % 2,
    }
}

fn drawing(panel: &Panel, x_name: &str, series: &[Series<'_>]) -> String {
    let [x, y] = panel.axes(series.iter().flat_map(|series| &series.points).copied());
    let place = |(x_value, y_value): (f64, f64)| {
        let (right, up) = (x.fraction(x_value), y.fraction(y_value));
        (LEFT + right * (RIGHT - LEFT), BOTTOM - up * (BOTTOM - TOP))
    };
    let (width, height) = SIZE;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">",
        summary(panel, x_name, series)
    );
    axes(&mut svg, (&x, &y), x_name);
    for (index, series) in series.iter().enumerate() {
        let places = series.points.iter().map(|point| place(*point));
        if panel.scattered && index == 0 {
            let step = series.points.len().div_ceil(MOST_DOTS).max(1);
            places
                .step_by(step)
                .for_each(|at| dot(&mut svg, at, 2.0, series.number));
            continue;
        }
        let _ = write!(svg, "<path class=\"s{}\" d=\"", series.number);
        let step = series.points.len().div_ceil(MOST_POINTS).max(1);
        let last = series.points.last().map(|point| place(*point));
        let drawn = places.clone().step_by(step).chain(last.filter(|_| step > 1));
        for (index, (x, y)) in drawn.enumerate() {
            let _ = write!(svg, "{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' });
        }
        svg.push_str("\"/>");
        if series.points.len() <= MOST_MARKERS {
            places.for_each(|at| dot(&mut svg, at, 2.5, series.number));
        }
    }
    let first = series.first().map(|series| &series.points);
    let mark = first.and_then(|points| points.iter().find(|point| Some(point.0) == panel.mark));
    if let Some(point) = mark {
        let (x, y) = place(*point);
        let _ = write!(
            svg,
            "<circle class=\"ring s1\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"6\"/>"
        );
    }
    svg.push_str("</svg>");
    svg
}

fn dot(svg: &mut String, (x, y): (f64, f64), radius: f64, number: usize) {
    let _ = write!(
        svg,
        "<circle class=\"d{number}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"/>"
    );
}

fn axes(svg: &mut String, (x, y): (&Axis, &Axis), x_name: &str) {
    for (value, label) in y.ticks() {
        let at = BOTTOM - y.fraction(value) * (BOTTOM - TOP);
        let _ = write!(
            svg,
            "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{RIGHT}\"/><text x=\"{}\" y=\"{:.1}\" \
             text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            at + 4.0,
            text(&label)
        );
    }
    for (value, label) in x.ticks() {
        let at = LEFT + x.fraction(value) * (RIGHT - LEFT);
        let _ = write!(
            svg,
            "<path class=\"grid\" d=\"M{at:.1} {TOP}V{BOTTOM}\"/><text x=\"{at:.1}\" y=\"{}\" \
             text-anchor=\"middle\">{}</text>",
            BOTTOM + 16.0,
            text(&label)
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        f64::midpoint(LEFT, RIGHT),
        BOTTOM + 35.0,
        text(x_name)
    );
}

/// Says what the chart shows, for those who cannot see it.
fn summary(panel: &Panel, x_name: &str, series: &[Series<'_>]) -> String {
    let of = |series: &Series<'_>| match (series.points.first(), series.points.last()) {
        (Some(first), Some(last)) if !panel.scattered => {
            format!("{} from {:.4} to {:.4}", series.name, first.1, last.1)
        }
        _ => format!("{}: {} points", series.name, series.points.len()),
    };
    let parts: Vec<String> = series.iter().map(of).collect();
    text(&format!("{} by {x_name}: {}", panel.title, parts.join(", ")))
}

#[cfg(test)]
mod tests {
    use effnet_data::Curve;

    use super::*;

    #[test]
    fn a_chart_has_its_curves_and_no_names_as_markup() {
        let panel = Panel::new("loss <b>")
            .with_curve(Curve::new(
                "training & <i>",
                vec![(0.5, 2.0), (1.0, f64::NAN), (2.0, 1.0)],
            ))
            .with_curve(Curve::new("validation", vec![(1.0, 1.5)]))
            .with_mark(Some(2.0));
        let html = figure(&panel, "epoch");
        assert!(!html.contains("<b>") && !html.contains("<i>"), "{html}");
        assert!(
            html.contains("training &amp; &lt;i&gt; from 2.0000 to 1.0000"),
            "{html}"
        );
        assert_eq!(html.matches("class=\"d1\"").count(), 2);
        assert!(html.contains("ring") && !html.contains("NaN"), "{html}");
        let empty = figure(&Panel::new("loss"), "epoch");
        assert!(empty.contains("nothing yet"));
    }

    #[test]
    fn a_scatter_plot_has_a_bounded_number_of_dots() {
        let points = (0..50_000).map(|x| (f64::from(x), f64::from(x))).collect();
        let panel = Panel::new("price")
            .with_scattered(true)
            .with_continuous(true)
            .with_curve(Curve::new("predicted", points));
        let html = figure(&panel, "true value");
        let dots = html.matches("<circle").count();
        assert!((1000..=MOST_DOTS).contains(&dots), "{dots}");
    }
}
