//! `effnet check`.

mod images;
mod page;
mod report;
mod text;

use anyhow::anyhow;
use effnet::{DecodeFailure, Pipeline, Reader, Task, transform};
use effnet_data::check::{Entry, Features, find};
use effnet_data::{DataError, DataOptions, Splits, replace_file};

use std::io::Write;

use crate::Outcome;
use crate::arguments::{CheckArguments, InspectFormat};
use crate::destination::file_or_stdout;
use crate::failure::finite_features;
use crate::inference::{inspect, load, locate};
use crate::interrupt::Interrupt;
use crate::label_column::{of_label_column, passed_columns};
use crate::launcher::refuse_group;
use crate::outputs::for_each_output;
use crate::overview::print_notices;
use crate::printer::{Printer, counted};
use crate::sink::print_json;
use crate::torch::TorchCommands;
use images::CheckedImage;
use report::{Report, Unreadable};

pub(crate) fn run(
    arguments: &CheckArguments,
    torch: Option<&dyn TorchCommands>,
    printer: &Printer,
) -> anyhow::Result<Outcome> {
    refuse_group("check")?;
    // Weights are not downloaded just to report a misspelt name.
    let splits = open(arguments)?;
    print_notices(&splits.reading, printer);
    let (execution, zoo, weights) = locate(&arguments.network, torch, printer)?;
    let file = inspect(weights, &arguments.network.model, printer)?;
    let overrides = arguments.network.preprocessing.overrides();
    let transform = transform(&overrides, &file, &zoo.manifest)?;
    let images = CheckedImage::all(&splits);
    let count = images.len();
    let interrupt = Interrupt::listen();
    let reader = Reader::start(images, transform, execution.threads, interrupt.flag())?;
    let network = load(&file, true, &execution, printer)?;
    let of = (&network.config, &*network.backend);
    let requested = arguments.network.batch_size;
    let batch_size = execution.batch_size(of, requested, count, transform.image_size)?;
    let outputs = Pipeline::new(reader, network.backend, batch_size)?;
    let progress = printer.progress(count as u64);
    let mut read = Read::new(network.config.head_channels());
    for_each_output(outputs, &progress, &interrupt, printer, |output, _| {
        read.add(output.input, output.result, printer);
        Ok(())
    })?;
    if interrupt.is_set() {
        printer.warning("interrupted: discarded the partial results");
        return Ok(Outcome::Interrupted);
    }
    printer.detail(format!("comparing {}", counted(read.images.len(), "image")));
    let classes = splits.train.classes().len();
    let findings = find(&read.entries, &read.features, classes, execution.threads);
    let report = Report::new(arguments, &file, &splits, (&read, &findings));
    if let Some(path) = &arguments.html {
        let page = page::render(&report, &read.images)?;
        replace_file(file_or_stdout(path), |file| file.write_all(page.as_bytes()))?;
    }
    match arguments.format {
        InspectFormat::Json => print_json(&report)?,
        InspectFormat::Text => report.write_text(&mut anstream::stdout())?,
    }
    Ok(match (read.images.len(), read.unreadable.len()) {
        (_, 0) => Outcome::Done,
        (0, _) => Outcome::NothingDone,
        _ => Outcome::SomeFailed,
    })
}

/// Opens the images with a class each.
fn open(arguments: &CheckArguments) -> anyhow::Result<Splits> {
    let value = arguments.label_column.as_deref();
    let columns = value.map(passed_columns).transpose()?;
    let options = DataOptions::default()
        .with_task(Task::Classify)
        .with_label_columns(columns.unwrap_or_default());
    Splits::open_all(&arguments.data, &options).map_err(|error| match error {
        // The advice in the error, another task, is for training.
        DataError::SeveralLabels { path, found } => anyhow!(
            "{}: expected one class for each image, found {found}; name the column that has it with --label-column",
            path.display()
        ),
        error => of_label_column(error, value.unwrap_or_default()),
    })
}

/// The images read so far.
struct Read {
    images: Vec<CheckedImage>,
    entries: Vec<Entry>,
    features: Features,
    unreadable: Vec<Unreadable>,
}

impl Read {
    fn new(width: usize) -> Self {
        Self {
            images: Vec::new(),
            entries: Vec::new(),
            features: Features::new(width),
            unreadable: Vec::new(),
        }
    }

    fn add(&mut self, image: CheckedImage, features: Result<Vec<f32>, DecodeFailure>, printer: &Printer) {
        let name = image.name();
        printer.image_warnings(|| &name, &image.warnings);
        match (finite_features(&name, features), image.fingerprint()) {
            (Ok(features), Some(fingerprint)) => {
                self.entries.push(Entry {
                    part: image.part,
                    label: image.label(),
                    fingerprint: fingerprint.clone(),
                });
                self.features.push(&features);
                self.images.push(image);
            }
            (Err(failure), _) => {
                printer.failure(&name, &failure.reason);
                self.unreadable.push(Unreadable::new(name, image.part, failure));
            }
            // An image that reached the network has been decoded.
            (Ok(_), None) => {}
        }
    }
}
