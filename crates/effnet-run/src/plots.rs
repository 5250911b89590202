//! The plots of the best epoch for other tasks than classification: `precision-recall.png` and `roc.png` for several
//! labels per image, `scatter.png` for regression.

use effnet_data::metrics::MultiLabelMetrics;
use effnet_data::{Curve, Panel};

use crate::short;

/// Returns the precision-recall curves, and the ROC curves: of all labels together, and of the label with the lowest
/// average precision.
pub fn ranking_panels(metrics: &MultiLabelMetrics, names: &[String]) -> [Panel; 2] {
    let precisions = metrics.average_precisions().into_iter().enumerate();
    let worst = precisions.filter_map(|(label, precision)| Some((label, precision?)));
    let worst = worst.min_by(|left, right| left.1.total_cmp(&right.1));
    let mut panels = ["precision", "true positive rate"].map(|title| Panel::new(title).with_continuous(true));
    let all = [("all labels".to_owned(), metrics.ranking(None))];
    let worst = worst.map(|(label, precision)| {
        let name = names.get(label).map_or("", String::as_str);
        (
            format!("lowest AP ({:.1} %): {name}", 100.0 * precision),
            metrics.ranking(Some(label)),
        )
    });
    for (name, ranking) in all.into_iter().chain(worst) {
        let precision = ranking
            .iter()
            .map(|point| (point.recall, point.precision))
            .collect();
        let rates = ranking
            .iter()
            .map(|point| (point.false_positive_rate, point.recall));
        let rates = std::iter::once((0.0, 0.0)).chain(rates).collect();
        let [first, second] = panels;
        panels = [
            first.with_curve(Curve::new(name.clone(), precision)),
            second.with_curve(Curve::new(name, rates)),
        ];
    }
    panels
}

/// Returns a scatter plot of each value, predicted over true; `pairs` are standardised, image by image.
pub fn scatter_panels(pairs: &[[f32; 2]], names: &[String], scale: Option<&[Vec<f64>; 2]>) -> Vec<Panel> {
    /// Maximum number of values to draw.
    const MOST: usize = 6;
    let columns = names.len().max(1);
    let panel = |(column, name): (usize, &String)| {
        let (mean, std) = scale.map_or((0.0, 1.0), |[mean, std]| (mean[column], std[column]));
        let unscaled = |value: f32| f64::from(value) * std + mean;
        let of_column = pairs.iter().skip(column).step_by(columns);
        let points = of_column.map(|[predicted, value]| (unscaled(*value), unscaled(*predicted)));
        let points: Vec<(f64, f64)> = points.collect();
        let errors = points.iter().map(|(value, predicted)| (value - predicted).abs());
        let error = errors.sum::<f64>() / points.len().max(1) as f64;
        let values = points.iter().map(|point| point.0);
        let low = values.clone().fold(f64::INFINITY, f64::min);
        let high = values.fold(f64::NEG_INFINITY, f64::max);
        Panel::new(format!("{name}, MAE {}", short(error)))
            .with_continuous(true)
            .with_scattered(true)
            .with_curve(Curve::new("predicted", points))
            .with_curve(Curve::new("equal", vec![(low, low), (high, high)]))
    };
    names.iter().enumerate().take(MOST).map(panel).collect()
}
