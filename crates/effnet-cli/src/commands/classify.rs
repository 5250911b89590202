//! `effnet classify`.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::Context;
use effnet_image::{EvalTransform, Image};
use rayon::prelude::*;
use tch::{Kind, Tensor};

use crate::Outcome;
use crate::arguments::ClassifyArguments;
use crate::device::set_threads;
use crate::inputs::{self, Input};
use crate::interrupt::Interrupt;
use crate::labels::Labels;
use crate::model::{Model, ModelFile};
use crate::prediction;
use crate::preprocessing;
use crate::printer::Printer;
use crate::records::{Record, Records};
use crate::zoo::Zoo;

/// Images in a batch when there are several: enough to use the processor well, few enough to keep
/// B7 within two gigabytes.
const BATCH_SIZE: u32 = 16;

pub(crate) fn run(arguments: &ClassifyArguments, printer: &Printer) -> anyhow::Result<Outcome> {
    set_threads(arguments.run.threads)?;
    let labels = arguments.labels.as_deref().map(Labels::open).transpose()?;
    let zoo = Zoo::open(&arguments.model.zoo)?;
    let weights = zoo.locate(
        arguments.model.model.as_ref(),
        arguments.model.weights.as_deref(),
        printer,
    )?;
    let file =
        ModelFile::open(weights, &arguments.model, labels.as_ref()).map_err(|error| {
            match &arguments.labels {
                Some(path) => error.context(format!("with the labels of {}", path.display())),
                None => error,
            }
        })?;
    let inputs = inputs::expand(&arguments.inputs)?;
    let transform = preprocessing::transform(&arguments.preprocessing, &file, &zoo.manifest)?;
    let mut records = Records::open(arguments.format, arguments.output.as_deref())?;
    let device = arguments.run.device.resolve()?;
    let model = file.load(labels, device, arguments.run.precision.kind(), printer)?;

    let tally = classify(arguments, &model, &transform, &inputs, &mut records, printer)?;
    records.finish()?;
    Ok(tally.outcome())
}

/// How many inputs went how.
#[derive(Default)]
struct Tally {
    done: usize,
    failed: usize,
    interrupted: bool,
}

impl Tally {
    fn outcome(&self) -> Outcome {
        match self {
            Self {
                interrupted: true, ..
            } => Outcome::Interrupted,
            Self { failed: 0, .. } => Outcome::Done,
            Self { done: 0, .. } => Outcome::NothingDone,
            _ => Outcome::SomeFailed,
        }
    }
}

/// Images of one batch, decoded: pixels `[n, 3, S, S]` of those that could be read, and for each
/// input whether it is among them.
struct Batch<'a> {
    pixels: Vec<f32>,
    inputs: Vec<(&'a Input, Result<(), String>)>,
}

/// Decodes on one side, computes on the other: while a batch is in the network, the next one is
/// being read, and no more than that are in memory.
fn classify(
    arguments: &ClassifyArguments,
    model: &Model,
    transform: &EvalTransform,
    inputs: &[Input],
    records: &mut Records,
    printer: &Printer,
) -> anyhow::Result<Tally> {
    let default_batch = if inputs.len() == 1 { 1 } else { BATCH_SIZE };
    let batch_size = arguments.run.batch_size.unwrap_or(default_batch) as usize;
    let interrupt = Interrupt::listen();
    let progress = printer.progress(inputs.len() as u64);
    let (sender, receiver): (SyncSender<Batch<'_>>, Receiver<Batch<'_>>) = sync_channel(1);
    let mut tally = Tally::default();
    let result = std::thread::scope(|scope| {
        let stop = interrupt.clone();
        scope.spawn(move || {
            for chunk in inputs.chunks(batch_size) {
                if stop.is_set() || sender.send(decode(chunk, transform)).is_err() {
                    break;
                }
            }
        });
        // Owned here, so that an early return closes the channel and the decoder stops.
        for batch in receiver {
            if interrupt.is_set() {
                break;
            }
            report(arguments, model, transform, &batch, records, printer, &mut tally)
                .map_err(|error| error.context("cannot go on"))?;
            progress.inc(batch.inputs.len() as u64);
        }
        anyhow::Ok(())
    });
    progress.finish_and_clear();
    tally.interrupted = interrupt.is_set();
    result.map(|()| tally)
}

fn decode<'a>(inputs: &'a [Input], transform: &EvalTransform) -> Batch<'a> {
    let length = transform.output_len();
    let mut pixels = vec![0.0; inputs.len() * length];
    let read = |(input, slot): (&'a Input, &mut [f32])| {
        let read = input.source.clone().and_then(|path| read(&path, transform, slot));
        (input, read)
    };
    let results: Vec<_> = inputs
        .par_iter()
        .zip(pixels.par_chunks_exact_mut(length))
        .map(read)
        .collect();
    // Close the gaps that failed inputs left.
    let mut kept = 0;
    for (index, (_, result)) in results.iter().enumerate() {
        if result.is_ok() {
            pixels.copy_within(index * length..(index + 1) * length, kept * length);
            kept += 1;
        }
    }
    pixels.truncate(kept * length);
    Batch {
        pixels,
        inputs: results,
    }
}

fn read(path: &Path, transform: &EvalTransform, slot: &mut [f32]) -> Result<(), String> {
    let image = Image::open(path).map_err(|error| chain(&error))?;
    transform.apply_into(&image, slot).map_err(|error| chain(&error))
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

/// Runs a batch and writes what came out, in the order of the inputs.
fn report(
    arguments: &ClassifyArguments,
    model: &Model,
    transform: &EvalTransform,
    batch: &Batch<'_>,
    records: &mut Records,
    printer: &Printer,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let logits = run_network(model, &batch.pixels, transform.image_size as i64)?;
    let mut logits = logits.chunks_exact(model.labels.len());
    for (input, read) in &batch.inputs {
        let predictions = match read {
            Ok(()) => {
                let logits = logits.next().unwrap_or_default();
                prediction::rank(logits, &model.labels, arguments.top_k)
            }
            Err(reason) => Err(reason.clone()),
        };
        match predictions {
            Ok(predictions) => {
                tally.done += 1;
                records.write(&Record::Classified {
                    input: &input.name,
                    model: model.variant.name(),
                    weights: &model.weights,
                    predictions: &predictions,
                })?;
            }
            Err(reason) => {
                tally.failed += 1;
                printer.failure(&input.name, &reason);
                records.write(&Record::Failed {
                    input: &input.name,
                    error: &reason,
                })?;
            }
        }
    }
    records.flush()
}

/// Logits of images `[n, 3, S, S]`, row after row.
fn run_network(model: &Model, pixels: &[f32], size: i64) -> anyhow::Result<Vec<f32>> {
    if pixels.is_empty() {
        return Ok(Vec::new());
    }
    let run = || -> Result<Vec<f32>, tch::TchError> {
        let images = Tensor::f_from_slice(pixels)?.f_view([-1, 3, size, size])?;
        let images = images.f_to_device(model.device)?.f_to_kind(model.kind)?;
        let logits = model.network.forward(&images, false)?;
        let logits = logits
            .f_to_kind(Kind::Float)?
            .f_to_device(tch::Device::Cpu)?
            .f_flatten(0, -1)?;
        let mut row = vec![0.0; logits.numel()];
        logits.f_copy_data(&mut row, logits.numel())?;
        Ok(row)
    };
    tch::no_grad(run)
        .context("the network cannot be run; a smaller --batch-size or --image-size needs less memory")
}
