//! The table of results per class, which is printed at the end of a training run.

use effnet_cli::counted;
use effnet_data::metrics::{ClassReport, RegressionReport};

use super::targets::short;
use super::task_metrics::TaskMetrics;

/// Maximum number of classes to list. If there are more, only the worst are listed.
const MOST: usize = 20;
const WORST: usize = 10;
/// Maximum length of a class name, in characters. Longer names are cut off.
const NAME: usize = 32;

/// Returns the lines of the table for the metrics of an epoch.
pub(super) fn lines(metrics: &TaskMetrics, classes: &[String], scale: Option<&[Vec<f64>; 2]>) -> Vec<String> {
    match metrics {
        TaskMetrics::Classes(metrics) => of_classes(metrics.confusion().classes(), classes, &[]),
        TaskMetrics::Labels(metrics) => {
            let thresholds = metrics.best_thresholds();
            of_classes(
                metrics.reports(&thresholds),
                classes,
                &metrics.average_precisions(),
            )
        }
        TaskMetrics::Values(metrics, _) => {
            let scaled = scale.map(|[_, std]| metrics.scaled(std));
            of_values(&scaled.as_ref().unwrap_or(metrics).reports(), classes)
        }
    }
}

/// Returns a line per value.
fn of_values(reports: &[RegressionReport], names: &[String]) -> Vec<String> {
    let width = names.iter().map(|name| shown(name).chars().count());
    let width = width.max().unwrap_or(0).max("value".len());
    let row = |(name, report): (&String, &RegressionReport)| {
        let r2 = report.r2.map_or_else(|| "-".to_owned(), |r2| format!("{r2:.4}"));
        format!(
            "{:<width$}  {:>10}  {:>10}  {r2:>7}",
            shown(name),
            short(report.mae),
            short(report.mse.sqrt())
        )
    };
    let header = format!("{:<width$}  {:>10}  {:>10}  {:>7}", "value", "MAE", "RMSE", "R2");
    std::iter::once(header)
        .chain(names.iter().zip(reports).map(row).take(MOST))
        .collect()
}

/// Returns a line per class: all classes in order or, if there are many, those with the lowest recall. `precisions` are
/// average precisions, if there are any.
fn of_classes(reports: Vec<ClassReport>, classes: &[String], precisions: &[Option<f64>]) -> Vec<String> {
    let precisions = precisions
        .iter()
        .copied()
        .map(Some)
        .chain(std::iter::repeat(None));
    let mut rows: Vec<(&String, ClassReport, Option<Option<f64>>)> = classes
        .iter()
        .zip(reports)
        .zip(precisions)
        .map(|((name, report), precision)| (name, report, precision))
        .collect();
    let hidden = match rows.len() {
        count if count > MOST => {
            let recall = |report: &ClassReport| report.recall.unwrap_or(f64::INFINITY);
            rows.sort_by(|a, b| recall(&a.1).total_cmp(&recall(&b.1)));
            rows.truncate(WORST);
            count - WORST
        }
        _ => 0,
    };
    let width = rows.iter().map(|(name, ..)| shown(name).chars().count());
    let width = width.max().unwrap_or(0).max("class".len());
    let has_precisions = rows.iter().any(|row| row.2.is_some());
    let header = format!(
        "{:<width$}  images   recall  precision{}",
        "class",
        if has_precisions { "       AP" } else { "" }
    );
    let row = |(name, report, precision): &(&String, ClassReport, Option<Option<f64>>)| {
        let precision = precision.map_or_else(String::new, |part| format!("  {:>7}", percent(part)));
        format!(
            "{:<width$}  {:>6}  {:>7}  {:>9}{precision}",
            shown(name),
            report.support,
            percent(report.recall),
            percent(report.precision)
        )
    };
    let rest = (hidden > 0).then(|| {
        format!(
            "{} with a higher recall: see {}",
            counted(hidden, "other class"),
            if has_precisions {
                "`effnet evaluate`"
            } else {
                "confusion.csv"
            }
        )
    });
    std::iter::once(header)
        .chain(rows.iter().map(row))
        .chain(rest)
        .collect()
}

fn percent(fraction: Option<f64>) -> String {
    fraction.map_or_else(|| "-".to_owned(), |fraction| format!("{:.1} %", 100.0 * fraction))
}

/// Returns the name without control characters, truncated if it is long.
fn shown(name: &str) -> String {
    let escaped: String = name
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if escaped.chars().count() <= NAME {
        return escaped;
    }
    let kept: String = escaped.chars().take(NAME - 1).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;
    use effnet_data::metrics::Metrics;

    fn lines(confusion: &TaskMetrics, classes: &[String]) -> Vec<String> {
        super::lines(confusion, classes, None)
    }

    fn confusion(classes: usize, pairs: &[(usize, usize)]) -> TaskMetrics {
        let mut metrics = Metrics::new(classes);
        for &(actual, predicted) in pairs {
            let mut logits = vec![0.0; classes];
            logits[predicted] = 5.0;
            metrics.push(&logits, actual).unwrap();
        }
        TaskMetrics::Classes(Box::new(metrics))
    }

    #[test]
    fn few_classes_are_all_listed_in_order() {
        let names = ["cat", "guinea pig", "dog"].map(str::to_owned);
        let confusion = confusion(3, &[(0, 0), (0, 0), (0, 1), (1, 1)]);
        assert_eq!(
            lines(&confusion, &names),
            [
                "class       images   recall  precision",
                "cat              3   66.7 %    100.0 %",
                "guinea pig       1  100.0 %     50.0 %",
                "dog              0        -          -",
            ]
        );
    }

    #[test]
    fn of_many_classes_the_worst_are_listed() {
        let names: Vec<String> = (0..30).map(|class| format!("c{class}")).collect();
        let mut pairs: Vec<_> = (0..30).map(|class| (class, class)).collect();
        pairs.push((17, 3));
        let lines = lines(&confusion(30, &pairs), &names);
        assert_eq!(lines.len(), 1 + WORST + 1);
        assert!(
            lines[1].starts_with("c17") && lines[1].contains("50.0 %"),
            "{lines:?}"
        );
        assert!(lines[11].starts_with("20 other classes"), "{lines:?}");
    }

    #[test]
    fn names_do_not_reach_the_terminal_as_they_are() {
        let names = ["\u{1b}[31mred".to_owned(), "x".repeat(99)];
        let lines = lines(&confusion(2, &[(0, 0), (1, 1)]), &names);
        assert!(!lines.concat().contains('\u{1b}'));
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:?}");
    }
}
