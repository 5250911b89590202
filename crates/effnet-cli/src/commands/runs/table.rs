//! The table of runs, as text and as CSV.

use std::io::{self, Write};

use effnet_run::short;
use serde_json::Value;

use super::folds::Folds;
use super::summary::Summary;
use crate::duration;
use crate::escape;

/// The columns of CSV.
pub(super) const CSV: [&str; 14] = [
    "run",
    "status",
    "task",
    "network",
    "image_size",
    "epochs",
    "epochs_asked",
    "best_epoch",
    "metric",
    "value",
    "val_loss",
    "seconds",
    "settings",
    "error",
];

/// The headers of the text table; the columns after the second are numbers.
const HEADERS: [&str; 9] = [
    "run", "state", "network", "size", "epochs", "best", "in epoch", "val loss", "time",
];

/// Returns a row of CSV.
pub(super) fn csv(run: &Summary) -> [String; 14] {
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    let count = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
    [
        run.run.clone(),
        run.status.name().to_owned(),
        run.task.unwrap_or_default().to_owned(),
        run.network.clone().unwrap_or_default(),
        count(run.image_size.map(u64::from)),
        run.epochs.to_string(),
        count(run.epochs_asked.map(u64::from)),
        count(run.best_epoch),
        run.metric.unwrap_or_default().to_owned(),
        number(run.value),
        number(run.val_loss),
        number(run.seconds),
        settings(run),
        run.error.clone().unwrap_or_default(),
    ]
}

/// Writes the table, and below it the means of folds and what differs between the runs.
pub(super) fn write_text(out: &mut impl Write, runs: &[Summary], folds: &[Folds]) -> io::Result<()> {
    let mut rows = vec![HEADERS.map(str::to_owned)];
    rows.extend(runs.iter().map(row));
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..HEADERS.len()).map(width).collect();
    for row in &rows {
        let cell = |(column, text): (usize, &String)| {
            let width = widths[column];
            match column {
                0..=2 => format!("{text:<width$}"),
                _ => format!("{text:>width$}"),
            }
        };
        let cells: Vec<String> = row.iter().enumerate().map(cell).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    if !folds.is_empty() {
        writeln!(out)?;
    }
    for folds in folds {
        writeln!(out, "{}", line_of_folds(folds))?;
    }
    let different: Vec<&Summary> = runs.iter().filter(|run| !run.settings.is_empty()).collect();
    if !different.is_empty() {
        writeln!(out, "\nSettings that differ:")?;
        for run in different {
            writeln!(
                out,
                "{}: {}",
                escape::line(&run.run),
                escape::line(&settings(run))
            )?;
        }
    }
    for run in runs {
        if let Some(error) = &run.error {
            writeln!(out, "\n{}: {}", escape::line(&run.run), escape::line(error))?;
        }
    }
    Ok(())
}

fn row(run: &Summary) -> [String; 9] {
    let missing = || "-".to_owned();
    let best = match (run.metric, run.value) {
        (Some(metric), Some(value)) => format!("{} {}", name_of(metric), number(metric, value)),
        _ => missing(),
    };
    [
        escape::line(&run.run).into_owned(),
        run.status.name().to_owned(),
        run.network
            .as_ref()
            .map_or_else(missing, |name| escape::line(name).into_owned()),
        run.image_size.map_or_else(missing, |size| size.to_string()),
        run.epochs_asked
            .map_or_else(missing, |asked| format!("{}/{asked}", run.epochs)),
        best,
        run.best_epoch.map_or_else(missing, |epoch| epoch.to_string()),
        run.val_loss.map_or_else(missing, short),
        run.seconds.map_or_else(missing, duration),
    ]
}

fn name_of(metric: &str) -> &'static str {
    match metric {
        "top1" => "top-1",
        "map" => "mAP",
        _ => "MAE",
    }
}

fn number(metric: &str, value: f64) -> String {
    match metric {
        "mae" => short(value),
        _ => format!("{:.2} %", 100.0 * value),
    }
}

/// `mean of 4 of 5 folds: top-1 84.21 %, standard deviation 1.61 %`
fn line_of_folds(folds: &Folds) -> String {
    let [mean, deviation] =
        [folds.mean(), folds.standard_deviation()].map(|value| number(folds.metric, value));
    let (count, of, metric) = (folds.count(), folds.of, name_of(folds.metric));
    format!("mean of {count} of {of} folds: {metric} {mean}, standard deviation {deviation}")
}

/// Lists the settings that differ: `lr 0.002, seed 1`.
fn settings(run: &Summary) -> String {
    let setting = |(name, value): (&String, &Value)| {
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        format!("{} {value}", name.replace('_', "-"))
    };
    run.settings.iter().map(setting).collect::<Vec<_>>().join(", ")
}
