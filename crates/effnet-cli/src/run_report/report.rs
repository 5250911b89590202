//! `report.html`: the settings, the curves and the quality of a run.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use effnet_data::confusion_png;
use effnet_data::metrics::{
    Calibration, CalibrationBin, ClassReport, ConfusionMatrix, Metrics, MultiLabelMetrics, RegressionMetrics,
};
use effnet_run::{best_epoch, history_panels, ranking_panels, scatter_panels, short};

use super::measured::{Measured, Quality};
use super::settings::{command, differing};
use super::{MISTAKES, Run, gallery, plots};
use crate::duration::duration;
use crate::page::{Page, chart, png_uri, text};
use crate::printer::counted;

/// The number of mistakes in the report; `mistakes.html` has more.
const MISTAKES_SHOWN: usize = 24;
/// The largest number of classes whose confusion matrix is a table; of more, it is an image.
const MOST_IN_MATRIX: usize = 20;
/// The number of pairs of classes that are listed.
const PAIRS: usize = 20;
/// The largest number of classes in the table of classes, which then has those with the lowest recall.
const MOST_CLASSES: usize = 200;
/// The last second of the year 9998, since 1970: `httpdate` panics on later times, and run.json may say anything.
const LAST_SECOND: u64 = 253_370_764_799;

/// Returns the report of a run of a network of `variant`; without validation images there is nothing measured.
pub(super) fn render(run: &Run<'_>, variant: &str, measured: Option<&Measured>) -> anyhow::Result<String> {
    let name = run.name();
    let mut page = Page::new(&format!("effnet run: {name}"), &name);
    head(&mut page, run, variant, measured);
    curves(&mut page, run, measured);
    if let Some(measured) = measured {
        page.heading("mistakes", "Mistakes");
        let worst = measured.mistakes.worst();
        let shown = &worst[..worst.len().min(MISTAKES_SHOWN)];
        let _ = write!(page, "<p>{} ", gallery::about(measured));
        let _ = write!(page, "<a href=\"{MISTAKES}\">All thumbnails</a></p>");
        gallery::thumbnails(&mut page, run, measured, shown)?;
        let names = measured.labels.names();
        match &measured.quality {
            Quality::Classes(metrics) => of_classes(&mut page, metrics, names)?,
            Quality::Labels(metrics, calibration) => {
                let thresholds: Vec<f64> = (0..names.len())
                    .map(|label| measured.labels.threshold(label))
                    .collect();
                of_labels(&mut page, metrics, calibration, &thresholds, names);
            }
            Quality::Values(metrics, pairs) => of_values(&mut page, metrics, pairs, names),
        }
    }
    settings(&mut page, run);
    Ok(page.finish())
}

fn head(page: &mut Page, run: &Run<'_>, variant: &str, measured: Option<&Measured>) {
    let command = command(&run.settings, run.facts.as_ref());
    let data = run
        .settings
        .data
        .file_name()
        .unwrap_or(run.settings.data.as_os_str());
    let start = run.facts.as_ref().and_then(|facts| facts.starts.last());
    let computed = start.map_or_else(String::new, |start| format!(" ({})", start.describe()));
    let _ = write!(
        page,
        "<p>{} on {}, trained by <code>effnet {command}</code>{}.</p>",
        text(variant),
        text(&data.to_string_lossy()),
        text(&computed)
    );
    let last = run.epochs.last().map_or(0, |epoch| epoch.epoch);
    let mut entries = Vec::new();
    if let Some(time) = started(run) {
        entries.push(("started".to_owned(), time));
    }
    entries.push(("epochs".to_owned(), format!("{last} of {}", run.settings.epochs)));
    if let Some(best) = best_epoch(&run.epochs).filter(|best| best.validation.is_some()) {
        entries.push(("best epoch".to_owned(), best.epoch.to_string()));
    }
    let seconds: f64 = run
        .facts
        .iter()
        .flat_map(|facts| &facts.epochs)
        .map(|epoch| epoch.seconds)
        .sum();
    if seconds > 0.0 {
        entries.push(("training time".to_owned(), duration(seconds)));
    }
    match measured {
        None => entries.push(("validation".to_owned(), "no images were held out".to_owned())),
        Some(measured) => entries.extend(quality(run, measured)),
    }
    page.list(&entries);
}

/// Returns when the run was first started, unless it is unknown or no date.
fn started(run: &Run<'_>) -> Option<String> {
    let seconds = run.facts.as_ref()?.starts.first()?.unix_time;
    let is_date = (1..=LAST_SECOND).contains(&seconds);
    is_date.then(|| httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds)))
}

/// Returns the metrics of the best weights.
fn quality(run: &Run<'_>, measured: &Measured) -> Vec<(String, String)> {
    let val = run.settings.validation_data();
    let of = val.map_or_else(String::new, |val| {
        format!(" of {}", val.file_name().unwrap_or(val.as_os_str()).display())
    });
    let images = measured.dataset.len();
    let mut found = vec![(
        "validation images".to_owned(),
        match measured.failed {
            0 => format!("{images}{of}"),
            failed => format!("{images}{of}, of which {failed} failed"),
        },
    )];
    let mut add = |name: &str, value: String| found.push((name.to_owned(), value));
    let classes = measured.labels.len();
    match &measured.quality {
        Quality::Classes(metrics) => {
            if let Some(summary) = metrics.summary() {
                add("top-1", percent(Some(summary.top1)));
                if let Some(top5) = summary.top5_of(classes) {
                    add("top-5", percent(Some(top5)));
                }
                add("loss", format!("{:.4}", summary.loss));
                add("calibration error", percent(Some(summary.ece)));
            }
        }
        Quality::Labels(metrics, calibration) => {
            let thresholds: Vec<f64> = (0..classes)
                .map(|label| measured.labels.threshold(label))
                .collect();
            if let Some(summary) = metrics.summary(&thresholds) {
                add("mAP", percent(summary.mean_average_precision));
                add("micro F1", percent(summary.micro_f1));
                add("macro F1", percent(summary.macro_f1));
                add("all labels right", percent(Some(summary.exact)));
                add("loss", format!("{:.4}", summary.loss));
                add("calibration error", percent(Some(calibration.error())));
            }
        }
        Quality::Values(metrics, _) => {
            if let Some(summary) = metrics.summary() {
                add("MAE", short(summary.mae));
                add("RMSE", short(summary.mse.sqrt()));
                add("R2", number(summary.r2));
            }
        }
    }
    found
}

fn curves(page: &mut Page, run: &Run<'_>, measured: Option<&Measured>) {
    page.heading("curves", "Curves");
    let classes = measured.map_or(0, |measured| measured.labels.len());
    page.push("<div class=\"charts\">");
    for panel in history_panels(&run.epochs, &run.steps, classes) {
        // Without validation, a panel is empty.
        if panel.curves.iter().any(|curve| !curve.points.is_empty()) {
            page.push(&chart::figure(&panel, "epoch"));
        }
    }
    page.push("</div><p>The training loss is that of augmented images, and with label smoothing where it is set, so it \
               may lie above the validation loss. A ring marks the best epoch.</p>");
}

fn of_classes(page: &mut Page, metrics: &Metrics, names: &[String]) -> anyhow::Result<()> {
    let confusion = metrics.confusion();
    page.heading("classes", "Classes");
    let reports = confusion.classes();
    let rows = rows_of_classes(names, &reports);
    note_of_classes(page, rows.len(), names.len());
    let headers = ["class", "images", "recall", "precision", "F1"];
    page.table("Results per class", &headers, 1, rows);
    page.heading("confusion", "Confusion");
    if names.len() <= MOST_IN_MATRIX {
        matrix(page, confusion, names);
    } else {
        let png = confusion_png(confusion, names)?;
        let _ = write!(
            page,
            "<img class=\"plot\" alt=\"Confusion matrix; the most frequent pairs are listed below\" src=\"{}\">",
            png_uri(&png)
        );
    }
    let mistakes = confusion.mistakes();
    if !mistakes.is_empty() {
        page.push("<h3>Most frequent mistakes</h3>");
        let support = confusion.support();
        let pairs = mistakes.iter().take(PAIRS).map(|pair| {
            let part = pair.images as f64 / support[pair.actual].max(1) as f64;
            vec![
                name(names, pair.actual),
                name(names, pair.predicted),
                pair.images.to_string(),
                percent(Some(part)),
            ]
        });
        let headers = ["class", "taken for", "images", "of the class"];
        page.table("Most frequent mistakes", &headers, 2, pairs);
    }
    calibration(page, metrics.calibration(), "predictions");
    Ok(())
}

fn rows_of_classes(names: &[String], reports: &[ClassReport]) -> Vec<Vec<String>> {
    let mut order: Vec<usize> = (0..reports.len()).collect();
    if order.len() > MOST_CLASSES {
        let recall = |class: usize| reports[class].recall.unwrap_or(f64::INFINITY);
        order.sort_by(|a, b| recall(*a).total_cmp(&recall(*b)));
        order.truncate(MOST_CLASSES);
    }
    let row = |class: usize| {
        let report = &reports[class];
        vec![
            name(names, class),
            report.support.to_string(),
            percent(report.recall),
            percent(report.precision),
            percent(report.f1),
        ]
    };
    order.into_iter().map(row).collect()
}

fn note_of_classes(page: &mut Page, shown: usize, all: usize) {
    if shown < all {
        let _ = write!(
            page,
            "<p>The {shown} of {all} classes with the lowest recall.</p>"
        );
    }
}

/// Adds the matrix as a table: a row per class, with the numbers of its images by predicted class.
fn matrix(page: &mut Page, confusion: &ConfusionMatrix, names: &[String]) {
    page.push(
        "<p>A row per class, a column per predicted class: numbers of images, shaded by their share of the row.</p>\
         <div class=\"wide\" role=\"region\" aria-label=\"Confusion matrix\" tabindex=\"0\"><table \
         class=\"matrix\"><thead><tr><th></th>",
    );
    for name in names {
        let _ = write!(page, "<th scope=\"col\">{}</th>", text(name));
    }
    page.push("</tr></thead><tbody>");
    let support = confusion.support();
    for (actual, name) in names.iter().enumerate() {
        let _ = write!(page, "<tr><th scope=\"row\">{}</th>", text(name));
        for predicted in 0..names.len() {
            let images = confusion.get(actual, predicted);
            if images == 0 {
                page.push("<td></td>");
                continue;
            }
            let share = images as f64 / support[actual].max(1) as f64;
            let class = if actual == predicted { "right" } else { "wrong" };
            let tenths = (10.0 * share).round();
            let _ = write!(page, "<td class=\"{class} p{tenths}\">{images}</td>");
        }
        page.push("</tr>");
    }
    page.push("</tbody></table></div>");
}

fn of_labels(
    page: &mut Page,
    metrics: &MultiLabelMetrics,
    confidences: &Calibration,
    thresholds: &[f64],
    names: &[String],
) {
    page.heading("classes", "Labels");
    let precisions = metrics.average_precisions();
    let rows = metrics
        .reports(thresholds)
        .into_iter()
        .enumerate()
        .map(|(label, report)| {
            vec![
                name(names, label),
                report.support.to_string(),
                format!("{:.3}", thresholds[label]),
                percent(precisions[label]),
                percent(report.recall),
                percent(report.precision),
                percent(report.f1),
            ]
        });
    let rows: Vec<_> = rows.take(MOST_CLASSES).collect();
    if rows.len() < names.len() {
        let _ = write!(
            page,
            "<p>The first {} of {}.</p>",
            rows.len(),
            counted(names.len(), "label")
        );
    }
    let headers = ["label", "images", "threshold", "AP", "recall", "precision", "F1"];
    page.table("Results per label", &headers, 1, rows);
    page.push("<div class=\"charts\">");
    let [precision, rates] = ranking_panels(metrics, names);
    page.push(&chart::figure(&precision, "recall"));
    page.push(&chart::figure(&rates, "false positive rate"));
    page.push("</div>");
    calibration(page, confidences, "labels");
}

fn of_values(page: &mut Page, metrics: &RegressionMetrics, pairs: &[[f32; 2]], names: &[String]) {
    page.heading("values", "Values");
    let rows = metrics.reports().into_iter().enumerate().map(|(value, report)| {
        let row = [short(report.mae), short(report.mse.sqrt()), number(report.r2)];
        std::iter::once(name(names, value)).chain(row).collect()
    });
    page.table("Results per value", &["value", "MAE", "RMSE", "R2"], 1, rows);
    page.push("<div class=\"charts\">");
    for panel in scatter_panels(pairs, names, None) {
        page.push(&chart::figure(&panel, "true value"));
    }
    page.push("</div>");
}

fn calibration(page: &mut Page, calibration: &Calibration, what: &str) {
    page.heading("calibration", "Calibration");
    let _ = write!(
        page,
        "<p>How many {what} are right where the network is this confident. Below the dashed line it is too confident, above \
         it not confident enough. The calibration error is {}.</p><div class=\"charts\">{}</div>",
        percent(Some(calibration.error())),
        chart::figure(&plots::reliability(calibration), "confidence (%)")
    );
    let row = |bin: &CalibrationBin| {
        let (accuracy, confidence) = bin.accuracy_and_confidence()?;
        let (accuracy, confidence) = (percent(Some(accuracy)), percent(Some(confidence)));
        Some(vec![confidence, accuracy, bin.images.to_string()])
    };
    let rows: Vec<_> = calibration.bins().iter().filter_map(row).collect();
    page.push("<details><summary>Numbers</summary>");
    page.table("Calibration", &["confidence", "right", what], 0, rows);
    page.push("</details>");
}

fn settings(page: &mut Page, run: &Run<'_>) {
    let command = command(&run.settings, run.facts.as_ref());
    page.heading("settings", "Settings");
    let rows: Vec<Vec<String>> = differing(&run.settings, command)
        .into_iter()
        .map(Vec::from)
        .collect();
    if rows.is_empty() {
        page.push("<p>All are the defaults.</p>");
        return;
    }
    let _ = write!(
        page,
        "<p>Those that differ from the defaults of <code>effnet {command}</code>. What was <code>auto</code> has the value \
         that it was given. <code>config.json</code> has all.</p>"
    );
    page.table("Settings", &["setting", "value", "default"], 3, rows);
}

fn name(names: &[String], class: usize) -> String {
    names.get(class).cloned().unwrap_or_default()
}

fn percent(part: Option<f64>) -> String {
    part.map_or_else(|| "-".to_owned(), |part| format!("{:.2} %", 100.0 * part))
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"))
}
