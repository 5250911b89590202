//! Evaluates networks with several labels per image, and networks that predict numbers.

use std::io::Write;

use anyhow::{Context, ensure};
use effnet::{
    DecodeFailure, Failure, Labels, Prediction, Task, above_threshold, check_finite, match_classes, rank,
};
use effnet_data::Dataset;
use effnet_data::metrics::{
    ClassReport, MultiLabelMetrics, MultiLabelSummary, RegressionMetrics, RegressionReport, RegressionSummary,
};
use serde::Serialize;

use super::Evaluated;
use super::report::{Subject, percent, shown};
use super::target_predictions::{Answer, TargetPredictions};
use crate::Outcome;
use crate::arguments::InspectFormat;
use crate::inference::Network;
use crate::printer::Printer;
use crate::sink::{SCHEMA, print_json};

/// The maximum length of a label in the tables, which have many columns, in characters.
const NAME: usize = 24;

/// Evaluates a network on images with labels or values.
pub(super) fn run(evaluated: &Evaluated<'_>, network: Network) -> anyhow::Result<Outcome> {
    let &Evaluated {
        arguments,
        inference,
        labels,
        dataset,
        printer,
    } = evaluated;
    let columns =
        OutputColumns::of(&**dataset, labels).with_context(|| arguments.data.display().to_string())?;
    if let Some(ignored) = columns.ignored(&**dataset) {
        printer.note(format!(
            "ignored columns: {ignored}, which the network does not predict"
        ));
    }
    let predictions = arguments.predictions.as_deref();
    let predictions = predictions
        .map(|path| TargetPredictions::create(path, labels, printer))
        .transpose()?;
    let mut measured = Measured::new(labels, predictions);
    let mut row = vec![0.0; dataset.classes().len()];
    let seconds = evaluated.for_each_image(network, |input, name, result| {
        input.values(&mut row);
        let mut truths = vec![0.0; labels.len()];
        columns.assign(&row, &mut truths);
        measured.add(name, result, &truths, printer)
    })?;
    let Some(seconds) = seconds else {
        return Ok(Outcome::Interrupted);
    };
    if let Some(predictions) = measured.predictions.take() {
        predictions.finish()?;
    }
    let Some(metrics) = measured.report() else {
        return Ok(Outcome::NothingDone);
    };
    let report = Report {
        schema: SCHEMA,
        model: inference.file().variant.name(),
        weights: &inference.file().weights().name,
        data: arguments.data.display().to_string(),
        images_per_second: dataset.len() as f64 / seconds,
        failed: measured.failed,
        metrics,
    };
    match arguments.format {
        InspectFormat::Json => print_json(&report)?,
        InspectFormat::Text => report.write_text(&mut anstream::stdout())?,
    }
    Ok(if report.failed == 0 {
        Outcome::Done
    } else {
        Outcome::SomeFailed
    })
}

/// The output of the network for each class, label or value of the data; `None` for a column that the network does not predict.
pub(crate) struct OutputColumns(Vec<Option<usize>>);

impl OutputColumns {
    /// Matches the classes, labels or values of the data to the outputs of the network by name.
    pub(crate) fn of(dataset: &dyn Dataset, labels: &Labels) -> anyhow::Result<Self> {
        let names = dataset.classes();
        if dataset.task() != Task::Regression {
            let outputs = match_classes(names, labels)?;
            return Ok(Self(outputs.into_iter().map(Some).collect()));
        }
        // One value needs no name.
        if names.len() == 1 && labels.len() == 1 {
            return Ok(Self(vec![Some(0)]));
        }
        ensure!(
            labels.names().iter().all(|label| names.contains(label)),
            "expected the columns {}, which the network predicts, found {}; rename or add them",
            labels.names().join(", "),
            names.join(", ")
        );
        let output = |name: &String| labels.names().iter().position(|label| label == name);
        Ok(Self(names.iter().map(output).collect()))
    }

    /// Returns the output for a class, label or value of the data.
    pub(crate) fn output(&self, column: usize) -> Option<usize> {
        self.0.get(column).copied().flatten()
    }

    /// Writes the labels or values of an image to `truths`, in the order of the outputs.
    pub(crate) fn assign(&self, row: &[f32], truths: &mut [f32]) {
        for (value, output) in row.iter().zip(&self.0) {
            if let Some(output) = output {
                truths[*output] = *value;
            }
        }
    }

    /// Returns the names of the columns that the network does not predict, if there are any.
    fn ignored(&self, dataset: &dyn Dataset) -> Option<String> {
        let columns = dataset.classes().iter().zip(&self.0);
        let ignored = columns.filter(|(_, output)| output.is_none());
        let names: Vec<&str> = ignored.map(|(name, _)| name.as_str()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

enum Metrics {
    Labels(MultiLabelMetrics),
    Values(RegressionMetrics),
}

/// The measurements, updated with each image.
struct Measured<'a> {
    metrics: Metrics,
    failed: u64,
    labels: &'a Labels,
    predictions: Option<TargetPredictions>,
}

impl<'a> Measured<'a> {
    fn new(labels: &'a Labels, predictions: Option<TargetPredictions>) -> Self {
        Self {
            metrics: match labels.task() {
                Task::Regression => Metrics::Values(RegressionMetrics::new(labels.len())),
                _ => Metrics::Labels(MultiLabelMetrics::new(labels.len())),
            },
            failed: 0,
            labels,
            predictions,
        }
    }

    /// Adds an image with its true labels or values. A failure is printed and counted.
    fn add(
        &mut self,
        name: &str,
        result: &Result<Vec<f32>, DecodeFailure>,
        truths: &[f32],
        printer: &Printer,
    ) -> anyhow::Result<()> {
        let outputs = match result {
            Ok(outputs) => check_finite(outputs, "class")
                .map(|()| outputs)
                .map_err(Failure::from),
            Err(error) => Err(Failure::from_decoding(name, error)),
        };
        let answer = match (&mut self.metrics, &outputs) {
            (_, Err(failure)) => {
                self.failed += 1;
                printer.failure(name, &failure.reason);
                Answer::Failed(failure)
            }
            (Metrics::Labels(metrics), Ok(logits)) => {
                let truths: Vec<bool> = truths.iter().map(|truth| *truth == 1.0).collect();
                metrics.push(logits, &truths)?;
                Answer::Labels(
                    above_threshold(logits, self.labels, None)?,
                    in_order(rank(logits, self.labels, 0)?),
                )
            }
            (Metrics::Values(metrics), Ok(values)) => {
                metrics.push(values, truths)?;
                Answer::Values(values)
            }
        };
        match &mut self.predictions {
            Some(predictions) => predictions.write(name, truths, &answer),
            None => Ok(()),
        }
    }

    fn report(&self) -> Option<TaskReport> {
        Some(match &self.metrics {
            Metrics::Labels(metrics) => {
                let thresholds: Vec<f64> = (0..self.labels.len())
                    .map(|class| self.labels.threshold(class))
                    .collect();
                let precisions = metrics.average_precisions();
                let reports = metrics
                    .reports(&thresholds)
                    .into_iter()
                    .zip(precisions)
                    .enumerate();
                let class = |(class, (report, average_precision))| Class {
                    index: class,
                    label: self.labels.get(class).to_owned(),
                    threshold: thresholds[class],
                    average_precision,
                    report,
                };
                TaskReport::Labels {
                    summary: metrics.summary(&thresholds)?,
                    classes: reports.map(class).collect(),
                }
            }
            Metrics::Values(metrics) => {
                let output = |(output, report): (usize, RegressionReport)| Value {
                    output,
                    label: self.labels.get(output).to_owned(),
                    report,
                };
                TaskReport::Values {
                    summary: metrics.summary()?,
                    outputs: metrics.reports().into_iter().enumerate().map(output).collect(),
                }
            }
        })
    }
}

/// Returns the probabilities in the order of the classes.
fn in_order(mut ranked: Vec<Prediction>) -> Vec<f64> {
    ranked.sort_by_key(|prediction| prediction.class);
    ranked
        .into_iter()
        .map(|prediction| prediction.probability)
        .collect()
}

/// The object that `--format json` prints.
#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    model: &'static str,
    weights: &'a str,
    data: String,
    /// The number of images that could not be read, or whose outputs were not finite.
    failed: u64,
    images_per_second: f64,
    #[serde(flatten)]
    metrics: TaskReport,
}

#[derive(Serialize)]
#[serde(untagged)]
enum TaskReport {
    Labels {
        #[serde(flatten)]
        summary: MultiLabelSummary,
        classes: Vec<Class>,
    },
    Values {
        #[serde(flatten)]
        summary: RegressionSummary,
        outputs: Vec<Value>,
    },
}

#[derive(Serialize)]
struct Class {
    #[serde(rename = "class")]
    index: usize,
    label: String,
    threshold: f64,
    average_precision: Option<f64>,
    #[serde(flatten)]
    report: ClassReport,
}

#[derive(Serialize)]
struct Value {
    output: usize,
    label: String,
    #[serde(flatten)]
    report: RegressionReport,
}

impl Report<'_> {
    fn write_text(&self, out: &mut impl Write) -> std::io::Result<()> {
        let subject = Subject {
            model: self.model,
            weights: self.weights,
            data: &self.data,
        };
        let images = match &self.metrics {
            TaskReport::Labels { summary, .. } => summary.images,
            TaskReport::Values { summary, .. } => summary.images,
        };
        subject.write(out, images, self.failed)?;
        match &self.metrics {
            TaskReport::Labels { summary, classes } => {
                writeln!(
                    out,
                    "mAP                {}",
                    percent(summary.mean_average_precision)
                )?;
                writeln!(out, "micro F1           {}", percent(summary.micro_f1))?;
                writeln!(out, "macro F1           {}", percent(summary.macro_f1))?;
                writeln!(out, "all labels right   {}", percent(Some(summary.exact)))?;
                writeln!(out, "loss               {:.4}", summary.loss)?;
                writeln!(out, "speed              {:.1} images/s\n", self.images_per_second)?;
                write_classes(out, classes)
            }
            TaskReport::Values { summary, outputs } => {
                writeln!(out, "MAE                {}", significant(summary.mae))?;
                writeln!(out, "RMSE               {}", significant(summary.mse.sqrt()))?;
                writeln!(out, "R2                 {}", fraction(summary.r2))?;
                writeln!(out, "speed              {:.1} images/s", self.images_per_second)?;
                if outputs.len() > 1 {
                    writeln!(out)?;
                    write_values(out, outputs)?;
                }
                Ok(())
            }
        }
    }
}

fn write_classes(out: &mut impl Write, classes: &[Class]) -> std::io::Result<()> {
    let width = width(classes.iter().map(|class| &class.label));
    writeln!(
        out,
        "{:<width$}  {:>6}  {:>9}  {:>7}  {:>9}  {:>7}  {:>7}",
        "label", "images", "threshold", "AP", "precision", "recall", "F1"
    )?;
    for class in classes {
        writeln!(
            out,
            "{:<width$}  {:>6}  {:>9.3}  {:>7}  {:>9}  {:>7}  {:>7}",
            shown(&class.label, NAME),
            class.report.support,
            class.threshold,
            percent(class.average_precision),
            percent(class.report.precision),
            percent(class.report.recall),
            percent(class.report.f1)
        )?;
    }
    Ok(())
}

fn write_values(out: &mut impl Write, outputs: &[Value]) -> std::io::Result<()> {
    let width = width(outputs.iter().map(|output| &output.label));
    writeln!(
        out,
        "{:<width$}  {:>10}  {:>10}  {:>7}",
        "value", "MAE", "RMSE", "R2"
    )?;
    for Value { label, report, .. } in outputs {
        let (mae, rmse) = (significant(report.mae), significant(report.mse.sqrt()));
        writeln!(
            out,
            "{:<width$}  {mae:>10}  {rmse:>10}  {:>7}",
            shown(label, NAME),
            fraction(report.r2)
        )?;
    }
    Ok(())
}

fn width<'a>(labels: impl Iterator<Item = &'a String>) -> usize {
    let widths = labels.map(|label| shown(label, NAME).chars().count());
    widths.max().unwrap_or(0).max("label".len())
}

fn fraction(part: Option<f64>) -> String {
    part.map_or_else(|| "-".to_owned(), |part| format!("{part:.4}"))
}

/// Formats a number with about four significant digits.
fn significant(value: f64) -> String {
    if value != 0.0 && !(1e-3..1e6).contains(&value.abs()) {
        return format!("{value:.3e}");
    }
    let digits = if value.abs() >= 1000.0 { 0 } else { 4 };
    format!("{value:.digits$}")
}
