//! `effnet evaluate`.

mod data;
mod predictions;
mod report;
mod target_predictions;
mod targets;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use effnet::{DecodeFailure, Labels, ModelFile, Output, Pipeline, Reader, Task, match_classes, rank};
use effnet_data::metrics::{ConfusionMatrix, Metrics, MetricsError};
use effnet_data::{Dataset, Evaluation, confusion_png, replace_file, write_confusion_csv};

use crate::Outcome;
use crate::arguments::{EvaluateArguments, InspectFormat};
use crate::destination::file_or_stdout;
use crate::failure::Failure;
use crate::inference::Inference;
use crate::interrupt::Interrupt;
use crate::launcher::refuse_group;
use crate::outputs::for_each_output;
use crate::printer::{Printer, counted};
use crate::sink::{SCHEMA, print_json};
use crate::torch::TorchCommands;
use crate::training::recorded_split::{held_out, settings_of_run};
use data::Labelled;
use predictions::Predictions;
use report::Report;

pub(crate) fn run(
    arguments: &EvaluateArguments,
    torch: Option<&dyn TorchCommands>,
    printer: &Printer,
) -> anyhow::Result<Outcome> {
    refuse_group("evaluate")?;
    // Weights are not downloaded just to report a misspelt name.
    let opened = open(arguments, arguments.task.task(), printer)?;
    let inference = Inference::prepare_for(arguments.task.task(), &arguments.inference, torch, printer)?;
    let task = inference.file().task();
    let dataset = for_task(opened, task, arguments, printer)?;
    let transform = inference.transform;
    warn_of_moved_weights(inference.file(), arguments, printer);
    let (network, labels) = inference.load(printer)?;
    if task != Task::Classify {
        return targets::run(arguments, &inference, network, &labels, &dataset, printer);
    }
    let classes =
        match_classes(dataset.classes(), &labels).with_context(|| arguments.data.display().to_string())?;
    let count = dataset.len();
    let requested = arguments.inference.network.batch_size;
    let of = (&network.config, &*network.backend);
    let batch_size = inference
        .execution
        .batch_size(of, requested, count, transform.image_size)?;
    printer.detail(format!(
        "{} of {}, in batches of up to {batch_size}",
        counted(count, "image"),
        counted(classes.len(), "class")
    ));
    let interrupt = Interrupt::listen();
    let predictions = arguments.predictions.as_deref();
    let predictions = predictions
        .map(|path| Predictions::create(path, printer))
        .transpose()?;
    let start = Instant::now();
    let images = Labelled::all(dataset);
    let reader = Reader::start(images, transform, inference.execution.threads, interrupt.flag())?;
    let mut measured = Measured {
        metrics: Metrics::new(labels.len()),
        failed: 0,
        predictions,
        labels: &labels,
    };
    let outputs = Pipeline::new(reader, network.backend, batch_size)?;
    let progress = printer.progress(count as u64);
    for_each_output(
        outputs,
        &progress,
        &interrupt,
        printer,
        |Output { input, result }, _| {
            let name = input.name();
            printer.image_warnings(|| &name, input.warnings());
            let measuring = measured.add(&name, &result, classes[input.label()], printer);
            measuring.with_context(|| name)
        },
    )?;
    let seconds = start.elapsed().as_secs_f64();
    if interrupt.is_set() {
        printer.warning("interrupted: discarded the partial results");
        return Ok(Outcome::Interrupted);
    }
    let Measured {
        metrics,
        failed,
        predictions,
        ..
    } = measured;
    if let Some(predictions) = predictions {
        predictions.finish()?;
    }
    let Some(summary) = metrics.summary() else {
        return Ok(Outcome::NothingDone);
    };
    let report = Report {
        schema: SCHEMA,
        model: inference.file().variant.name(),
        weights: &inference.file().weights().name,
        data: arguments.data.display().to_string(),
        summary,
        failed,
        images_per_second: (summary.images + failed) as f64 / seconds,
        classes: report::of_classes(&metrics, &labels),
    };
    // Written before printing, which fails if the reader has closed the pipe.
    write_confusion(arguments, metrics.confusion(), labels.names())?;
    match arguments.format {
        InspectFormat::Json => print_json(&report)?,
        InspectFormat::Text => report.write_text(&mut anstream::stdout(), labels.len())?,
    }
    Ok(if failed == 0 {
        Outcome::Done
    } else {
        Outcome::SomeFailed
    })
}

/// The measurements, updated with each image.
struct Measured<'a> {
    metrics: Metrics,
    /// The number of images that could not be read, or whose logits were not finite.
    failed: u64,
    predictions: Option<Predictions>,
    labels: &'a Labels,
}

impl Measured<'_> {
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
            Ok(logits) => match self.metrics.push(logits, class) {
                Err(MetricsError::NotFinite { .. }) | Ok(()) => {
                    rank(logits, self.labels, 1).map_err(Failure::from)
                }
                Err(error) => return Err(error.into()),
            },
            Err(error) => Err(Failure::of_decoding(name, error)),
        };
        if let Err(failure) = &logits {
            self.failed += 1;
            printer.failure(name, &failure.reason);
        }
        let Some(predictions) = &mut self.predictions else {
            return Ok(());
        };
        let label = self.labels.get(class);
        match &logits {
            Ok(ranked) => ranked
                .first()
                .map_or(Ok(()), |best| predictions.write(name, label, Ok(best))),
            Err(failure) => predictions.write(name, label, Err(failure)),
        }
    }
}

/// Returns the images for the task of the network, and prints which they are.
fn for_task(
    opened: Opened,
    task: Task,
    arguments: &EvaluateArguments,
    printer: &Printer,
) -> anyhow::Result<Arc<dyn Dataset>> {
    // The labels may be read in more than one way.
    let opened = if opened.images.task() == task {
        opened
    } else {
        open(arguments, Some(task), printer)?
    };
    let dataset = opened.describe(arguments, printer);
    ensure!(
        dataset.task() == task,
        "--task {task}: the run was trained for {}, and so are its held-out images labelled; omit --task",
        dataset.task()
    );
    if task != Task::Classify && (arguments.confusion_csv.is_some() || arguments.confusion_png.is_some()) {
        bail!("--confusion-csv and --confusion-png: expected a network for classify, found one for {task}");
    }
    Ok(dataset)
}

/// The images to evaluate.
struct Opened {
    images: Arc<dyn Dataset>,
    /// How they were found, unless they are those that a run held out.
    evaluation: Option<Evaluation>,
}

impl Opened {
    /// Prints which images these are, and returns them.
    fn describe(self, arguments: &EvaluateArguments, printer: &Printer) -> Arc<dyn Dataset> {
        match &self.evaluation {
            Some(evaluation) => data::describe(&arguments.data, evaluation, printer),
            None => printer.note(format!(
                "evaluating the {} of this run (--all evaluates all images)",
                counted(self.images.len(), "held-out image")
            )),
        }
        self.images
    }
}

/// Opens the images to evaluate, for this task or for the one that their labels tell. If the weights' run was trained on
/// the data, these are the images that it held out.
fn open(arguments: &EvaluateArguments, task: Option<Task>, printer: &Printer) -> anyhow::Result<Opened> {
    let weights = arguments
        .inference
        .network
        .model
        .weights
        .as_deref()
        .map(Path::new);
    let run = match weights {
        Some(path) if path.is_dir() => Some(path),
        Some(path) if path.is_file() => path.parent(),
        _ => None,
    };
    if let (Some(run), false) = (run, arguments.all)
        && let Some(images) = held_out(run, &arguments.data, printer)?
    {
        return Ok(Opened {
            images,
            evaluation: None,
        });
    }
    let evaluation = Evaluation::open_for(&arguments.data, None, task)?;
    Ok(Opened {
        images: Arc::clone(&evaluation.images),
        evaluation: Some(evaluation),
    })
}

/// Warns about weights that were copied out of their run folder, because it is then unknown which images were held out.
fn warn_of_moved_weights(file: &ModelFile, arguments: &EvaluateArguments, printer: &Printer) {
    let is_of_run = file.checkpoint().metadata().contains_key("step");
    let has_run = file
        .path()
        .parent()
        .is_some_and(|folder| settings_of_run(folder).is_ok());
    if is_of_run && !has_run && !arguments.all {
        printer.warning(format!(
            "{} was saved by a training run, but is not in its run folder: if {} was trained on, training images are \
             evaluated too; pass the run folder with --weights to evaluate its held-out images",
            file.path().display(),
            arguments.data.display()
        ));
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
