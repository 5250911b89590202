//! `effnet evaluate`.

mod data;
mod report;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use effnet::{ModelFile, Output, Pipeline, Reader, match_classes};
use effnet_data::metrics::{ConfusionMatrix, Metrics, MetricsError};
use effnet_data::{Dataset, chain, confusion_png, open_evaluation, replace_file, write_confusion_csv};

use crate::Outcome;
use crate::arguments::{EvaluateArguments, InspectFormat};
use crate::inference::Inference;
use crate::interrupt::Interrupt;
use crate::launcher::refuse_group;
use crate::outputs::for_each_output;
use crate::printer::{Printer, counted};
use crate::torch::TorchCommands;
use crate::training::recorded_split::{held_out, settings_of_run};
use data::Labelled;
use report::Report;

pub(crate) fn run(
    arguments: &EvaluateArguments,
    torch: Option<&dyn TorchCommands>,
    printer: &Printer,
) -> anyhow::Result<Outcome> {
    refuse_group("evaluate")?;
    let inference = Inference::prepare(&arguments.inference, torch, printer)?;
    let transform = inference.transform;
    let dataset = open(arguments, printer)?;
    warn_of_moved_weights(inference.file(), arguments, printer);
    let (network, labels) = inference.load(printer)?;
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
    let start = Instant::now();
    let images = Labelled::all(dataset);
    let reader = Reader::start(images, transform, inference.execution.threads, interrupt.flag())?;
    let mut metrics = Metrics::new(labels.len());
    let mut failed = 0;
    let outputs = Pipeline::new(reader, network.backend, batch_size)?;
    for_each_output(
        outputs,
        count,
        &interrupt,
        printer,
        |Output { input, result }, _| {
            match result {
                Ok(logits) => match metrics.push(&logits, classes[input.label()]) {
                    Err(error @ MetricsError::NotFinite { .. }) => {
                        failed += 1;
                        printer.failure(&input.name(), &error.to_string());
                    }
                    pushed => pushed.with_context(|| input.name())?,
                },
                Err(error) => {
                    failed += 1;
                    printer.failure(&input.name(), &chain(&error));
                }
            }
            Ok(())
        },
    )?;
    let seconds = start.elapsed().as_secs_f64();
    if interrupt.is_set() {
        printer.warning("interrupted: partial results are discarded");
        return Ok(Outcome::Interrupted);
    }
    let Some(summary) = metrics.summary() else {
        return Ok(Outcome::NothingDone);
    };
    let report = Report {
        model: inference.file().variant.name(),
        weights: &inference.file().weights().name,
        data: arguments.data.display().to_string(),
        summary,
        failed,
        images_per_second: (summary.images + failed) as f64 / seconds,
        classes: report::of_classes(&metrics, &labels),
    };
    // Before printing, which fails if the reader has closed the pipe.
    write_confusion(arguments, metrics.confusion(), labels.names())?;
    let mut stdout = anstream::stdout();
    match arguments.format {
        InspectFormat::Json => writeln!(stdout, "{}", serde_json::to_string(&report)?)?,
        InspectFormat::Text => report.write_text(&mut stdout)?,
    }
    Ok(if failed == 0 {
        Outcome::Done
    } else {
        Outcome::SomeFailed
    })
}

/// The images to evaluate: of the data that a run was trained on, those that it held out.
fn open(arguments: &EvaluateArguments, printer: &Printer) -> anyhow::Result<Arc<dyn Dataset>> {
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
        printer.note(format!(
            "evaluating the {} of this run (--all evaluates all images)",
            counted(images.len(), "held-out image")
        ));
        return Ok(images);
    }
    Ok(open_evaluation(&arguments.data, None)?)
}

/// Weights that were copied out of their run folder do not say which images were held out.
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
        write_confusion_csv(path, confusion, labels)?;
    }
    if let Some(path) = &arguments.confusion_png {
        let png = confusion_png(confusion, labels)?;
        replace_file(path, |file| file.write_all(&png))?;
    }
    Ok(())
}
