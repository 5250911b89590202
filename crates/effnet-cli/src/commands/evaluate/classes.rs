//! Evaluates networks with one class per image.

use std::io::Write;

use anyhow::Context;
use effnet::{DecodeFailure, Labels, check_finite, match_classes, rank};
use effnet_data::metrics::{ConfusionMatrix, Metrics, TemperatureScaling};
use effnet_data::{confusion_png, replace_file, write_confusion_csv};

use super::Evaluated;
use super::calibration::Calibration;
use super::predictions::Predictions;
use super::report::{self, Report};
use crate::Outcome;
use crate::arguments::{EvaluateArguments, InspectFormat};
use crate::destination::file_or_stdout;
use crate::failure::Failure;
use crate::inference::Network;
use crate::printer::Printer;
use crate::sink::{SCHEMA, print_json};

pub(super) fn run(evaluated: &Evaluated<'_>, network: Network) -> anyhow::Result<Outcome> {
    let &Evaluated {
        arguments,
        inference,
        labels,
        dataset,
        printer,
    } = evaluated;
    let classes =
        match_classes(dataset.classes(), labels).with_context(|| arguments.data.display().to_string())?;
    let mut measured = Measured::new(arguments, labels, printer)?;
    let seconds = evaluated.for_each_image(network, |input, name, result| {
        measured.add(name, result, classes[input.label()], printer)
    })?;
    let Some(seconds) = seconds else {
        return Ok(Outcome::Interrupted);
    };
    if let Some(predictions) = measured.predictions.take() {
        predictions.finish()?;
    }
    let Some(summary) = measured.metrics.summary() else {
        return Ok(Outcome::NothingDone);
    };
    let calibration = measured.scaling.as_ref().map(Calibration::find).transpose()?;
    let report = Report {
        schema: SCHEMA,
        model: inference.file().variant.name(),
        weights: &inference.file().weights().name,
        data: arguments.data.display().to_string(),
        summary,
        confidence: measured.metrics.calibration().mean_confidence(),
        calibrated: calibration.flatten(),
        failed: measured.failed,
        images_per_second: (summary.images + measured.failed) as f64 / seconds,
        classes: report::of_classes(&measured.metrics, labels),
    };
    // Written before printing, which fails if the reader has closed the pipe.
    write_confusion(arguments, measured.metrics.confusion(), labels.names())?;
    if let (Some(output), Some(calibrated)) = (&arguments.calibrate, &report.calibrated) {
        calibrated.write(output, inference.file(), printer)?;
    }
    match arguments.format {
        InspectFormat::Json => print_json(&report)?,
        InspectFormat::Text => report.write_text(&mut anstream::stdout(), labels.len())?,
    }
    let is_missing = arguments.calibrate.is_some() && report.calibrated.is_none();
    if is_missing {
        printer.warning(
            "--calibrate: no temperature fits these images best, as when all of them are classified correctly; \
             nothing was written",
        );
    }
    Ok(if measured.failed == 0 && !is_missing {
        Outcome::Done
    } else {
        Outcome::SomeFailed
    })
}

/// The measurements, updated with each image.
struct Measured<'a> {
    metrics: Metrics,
    /// The logits, if a temperature is to be found.
    scaling: Option<TemperatureScaling>,
    /// The number of images that could not be read, or whose logits were not finite.
    failed: u64,
    predictions: Option<Predictions>,
    labels: &'a Labels,
}

impl<'a> Measured<'a> {
    fn new(arguments: &EvaluateArguments, labels: &'a Labels, printer: &Printer) -> anyhow::Result<Self> {
        let predictions = arguments.predictions.as_deref();
        let predictions = predictions.map(|path| Predictions::create(path, labels, printer));
        let calibrate = arguments.calibrate.as_ref();
        Ok(Self {
            metrics: Metrics::new(labels.len()),
            scaling: calibrate.map(|_| TemperatureScaling::new(labels.len())),
            failed: 0,
            predictions: predictions.transpose()?,
            labels,
        })
    }

    /// Adds an image whose true class is `class`. If the image could not be classified, the failure is printed and
    /// counted.
    fn add(
        &mut self,
        name: &str,
        result: &Result<Vec<f32>, DecodeFailure>,
        class: usize,
        printer: &Printer,
    ) -> anyhow::Result<()> {
        let logits = match result {
            Ok(logits) => check_finite(logits, "class")
                .map(|()| logits)
                .map_err(Failure::from),
            Err(error) => Err(Failure::from_decoding(name, error)),
        };
        match &logits {
            Ok(logits) => {
                self.metrics.push(logits, class)?;
                if let Some(scaling) = &mut self.scaling {
                    scaling.push(logits, class)?;
                }
            }
            Err(failure) => {
                self.failed += 1;
                printer.failure(name, &failure.reason);
            }
        }
        let Some(predictions) = &mut self.predictions else {
            return Ok(());
        };
        let label = self.labels.get(class);
        match &logits {
            Ok(logits) => predictions.write(name, label, Ok(&rank(logits, self.labels, 0)?)),
            Err(failure) => predictions.write(name, label, Err(failure)),
        }
    }
}

fn write_confusion(
    arguments: &EvaluateArguments,
    confusion: &ConfusionMatrix,
    labels: &[String],
) -> anyhow::Result<()> {
    if let Some(path) = &arguments.confusion_csv {
        write_confusion_csv(file_or_stdout(path), confusion, labels)?;
    }
    if let Some(path) = &arguments.confusion_png {
        let png = confusion_png(confusion, labels)?;
        replace_file(file_or_stdout(path), |file| file.write_all(&png))?;
    }
    Ok(())
}
