//! `effnet export`.

mod check;

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use effnet::{Error, Labels, LoadOptions, ModelFile, Parameters, Task, Weights, Zoo, transform};
use effnet_image::EvalTransform;
use effnet_onnx::{ExportInput, ExportOptions, ExportOutput, ExportReport, check_extension};

use crate::Outcome;
use crate::arguments::{ExportArguments, ExportType};
use crate::inference::{find, of_labels, options, warn};
use crate::written_file::{check_kind, check_overwriting};
use crate::{DownloadProgress, Printer, open_zoo};
use check::{Check, Runtime};

pub(crate) fn run(arguments: &ExportArguments, printer: &Printer) -> anyhow::Result<Outcome> {
    let output = &*arguments.output;
    check_extension(output)?;
    check_kind(output)?;
    // Before the weights are downloaded and the file is written.
    let runtime = arguments.check.then(Runtime::find).transpose()?;
    let labels = arguments.labels.as_deref().map(Labels::open).transpose()?;
    let (zoo, weights) = locate(arguments, printer)?;
    check_overwriting(output, weights.path(), arguments.force)?;
    let file = open(arguments, weights, labels.clone())?;
    warn(&file, printer);
    check_probabilities(arguments, &file)?;
    let transform = transform(&arguments.preprocessing.overrides(), &file, &zoo.manifest)?;
    let parameters = load(arguments, &file)?;
    let options = ExportOptions::default()
        .with_opset(arguments.opset as u32)
        .with_input(input(arguments, transform))
        .with_batch_size(arguments.batch_size)
        .with_output(kind(arguments))
        .with_f16(arguments.dtype == ExportType::F16)
        .with_external_data(arguments.external_data)
        .with_metadata(metadata(arguments, &file, labels, &transform)?);
    let export = options.prepare(&parameters)?;
    if let Some(data) = export.external_data_path(output) {
        check_kind(&data)?;
        check_overwriting(&data, file.weights().path(), arguments.force)?;
    }
    let written = export.write(output)?;
    report(arguments, &file, &written, printer);
    if let Some(runtime) = runtime {
        let check = Check {
            transform,
            options: &options,
            parameters: &parameters,
        };
        check
            .run(&runtime, output, printer)
            .with_context(|| format!("--check {}", output.display()))?;
    }
    Ok(Outcome::Done)
}

/// Finds the weights, which are named by IN or by the flags that other commands have.
fn locate(arguments: &ExportArguments, printer: &Printer) -> anyhow::Result<(Zoo, Weights)> {
    let Some(input) = &arguments.input else {
        return find(&arguments.model, printer);
    };
    let zoo = open_zoo(&arguments.model.zoo)?;
    let mut progress = DownloadProgress::new(printer);
    let weights = zoo.locate_one(input, &mut progress)?;
    Ok((zoo, weights))
}

/// Opens the weights; features need no classifier.
fn open(arguments: &ExportArguments, weights: Weights, labels: Option<Labels>) -> anyhow::Result<ModelFile> {
    let options = options(&arguments.model);
    let opened = if arguments.features {
        ModelFile::inspect(weights, &options)
    } else {
        ModelFile::open(weights, &options.with_labels(labels))
    };
    opened.map_err(|error| match error {
        error @ Error::LabelCount { .. } => of_labels(error, arguments.labels.as_deref()),
        error => error.into(),
    })
}

fn load(arguments: &ExportArguments, file: &ModelFile) -> Result<Parameters, Error> {
    let classes = if arguments.features { 1 } else { file.num_classes() };
    let options = LoadOptions::default().with_new_classifier(arguments.features);
    file.parameters(&file.config(classes), options)
}

fn input(arguments: &ExportArguments, transform: EvalTransform) -> ExportInput {
    let side = transform.image_size;
    match () {
        () if arguments.with_preprocessing => ExportInput::Bytes(transform),
        () if arguments.dynamic_size => ExportInput::AnySize,
        () => ExportInput::Size {
            height: side,
            width: side,
        },
    }
}

/// Refuses probabilities that are not those of the network's task. Weights from elsewhere do not name their task, so that
/// those of a classifier may be meant for several labels.
fn check_probabilities(arguments: &ExportArguments, file: &ModelFile) -> anyhow::Result<()> {
    let flag = if arguments.softmax {
        "--softmax"
    } else {
        "--sigmoid"
    };
    let (what, instead) = match file.task() {
        _ if !arguments.softmax && !arguments.sigmoid => return Ok(()),
        Task::MultiLabel if arguments.softmax => ("several labels per image", "pass --sigmoid"),
        Task::Regression => ("numbers as outputs, and no probabilities", "omit it"),
        _ => return Ok(()),
    };
    bail!("{flag}: {} has {what}; {instead}", file.path().display())
}

fn kind(arguments: &ExportArguments) -> ExportOutput {
    match () {
        () if arguments.features => ExportOutput::Features,
        () if arguments.softmax => ExportOutput::Probabilities,
        () if arguments.sigmoid => ExportOutput::LabelProbabilities,
        () => ExportOutput::Logits,
    }
}

/// Returns what a program needs to know about the file: the network, its classes, the preprocessing of its images, and
/// the weights it was made from.
fn metadata(
    arguments: &ExportArguments,
    file: &ModelFile,
    labels: Option<Labels>,
    transform: &EvalTransform,
) -> anyhow::Result<BTreeMap<String, String>> {
    let mut metadata = file.metadata.clone().with_transform(transform);
    metadata.variant = Some(file.variant.name().to_owned());
    metadata.profile = Some(file.profile);
    metadata.labels = if arguments.features {
        None
    } else {
        file.labels(labels)?.map(|labels| labels.names().to_vec())
    };
    let weights = file.weights();
    let mut entries = metadata.to_entries();
    entries.insert("weights".to_owned(), weights.name.clone());
    entries.insert("weights_sha256".to_owned(), weights.sha256()?);
    Ok(entries)
}

fn report(arguments: &ExportArguments, file: &ModelFile, written: &ExportReport, printer: &Printer) {
    let sides = |sides: &[String]| format!("[{}]", sides.join(", "));
    let dtype = match arguments.dtype {
        ExportType::F32 => "f32",
        ExportType::F16 => "f16",
    };
    let input = if arguments.with_preprocessing {
        "bytes"
    } else {
        "images"
    };
    printer.note(format!(
        "{}: {}, profile {}, {dtype}, opset {}, {input} {} -> {} {}, {:.1} MB",
        arguments.output.display(),
        file.variant,
        file.profile,
        arguments.opset,
        sides(&written.input),
        kind(arguments).name(),
        sides(&written.output),
        written.bytes as f64 / 1e6,
    ));
    if let Some(data) = &written.external_data {
        printer.note(format!(
            "the weights are in {}: keep both files in one folder",
            data.display()
        ));
    }
}
