//! `effnet classify`.

use effnet_infer::{Error, InputError, Pipeline, Reader};

use crate::Outcome;
use crate::arguments::ClassifyArguments;
use crate::inference::{BatchSizeWatch, Inference};
use crate::inputs::{self, Input};
use crate::interrupt::Interrupt;
use crate::labels::Labels;
use crate::model::Model;
use crate::prediction;
use crate::printer::Printer;
use crate::records::{Record, Records};

pub(crate) fn run(arguments: &ClassifyArguments, printer: &Printer) -> anyhow::Result<Outcome> {
    let inference = Inference::prepare(&arguments.inference, printer)?;
    let transform = inference.transform;
    let inputs = inputs::expand(&arguments.inputs)?;
    let records = Records::open(arguments.format, arguments.output.as_deref())?;

    let interrupt = Interrupt::listen();
    let count = inputs.len();
    // The first images are decoded while the network is made.
    let reader = Reader::start(inputs, transform, inference.execution.threads, interrupt.flag())?;
    let (model, execution) = inference.load(printer)?;
    let batch_size = model.batch_size(
        arguments.inference.network.batch_size,
        count,
        transform.image_size,
        &execution,
    )?;
    printer.detail(format!("batches of up to {batch_size} images"));
    let Model { network, labels, .. } = model;
    let mut results = Results {
        records,
        labels,
        model: model.variant.name(),
        weights: model.weights,
        top_k: arguments.top_k,
        tally: Tally::default(),
    };
    let mut outputs = Pipeline::new(reader, network, batch_size)?;
    let progress = printer.progress(count as u64);
    let mut watch = BatchSizeWatch::default();
    while let Some(output) = outputs.next() {
        let output = output.map_err(explain)?;
        let written = results.report(&output.input, &output.result, printer);
        let written = written.and_then(|()| match outputs.ready() {
            0 => results.records.flush(),
            _ => Ok(()),
        });
        if unless_interrupted(written, &interrupt)?.is_none() {
            return Ok(Outcome::Interrupted);
        }
        watch.look(outputs.reduced_batch_size(), printer);
        progress.inc(1);
    }
    progress.finish_and_clear();
    results.records.finish()?;
    results.tally.interrupted = interrupt.is_set();
    if interrupt.is_set() {
        warn_of_the_rest(results.tally.done + results.tally.failed, count, printer);
    }
    Ok(results.tally.outcome())
}

/// Says what an interrupt has left undone.
pub(super) fn warn_of_the_rest(done: usize, count: usize, printer: &Printer) {
    printer.warning(format!(
        "interrupted: there are results of {done} of {count} inputs"
    ));
}

/// `None` when results could not be written because Ctrl-C ended their reader too.
pub(super) fn unless_interrupted<T>(
    written: anyhow::Result<T>,
    interrupt: &Interrupt,
) -> anyhow::Result<Option<T>> {
    match written {
        Err(_) if interrupt.is_set() => Ok(None),
        written => written.map(Some),
    }
}

pub(super) fn explain(error: Error) -> anyhow::Error {
    let advice = if error.is_out_of_memory() {
        "the network cannot be run on one image; a smaller --image-size needs less memory"
    } else {
        "the network cannot be run"
    };
    anyhow::Error::new(error).context(advice)
}

/// Where results go, and what they are reported with.
struct Results {
    records: Records,
    labels: Labels,
    model: &'static str,
    weights: String,
    top_k: usize,
    tally: Tally,
}

impl Results {
    fn report(
        &mut self,
        input: &Input,
        logits: &Result<Vec<f32>, InputError>,
        printer: &Printer,
    ) -> anyhow::Result<()> {
        let predictions = match logits {
            Ok(logits) => prediction::rank(logits, &self.labels, self.top_k),
            Err(error) => Err(chain(error)),
        };
        match predictions {
            Ok(predictions) => {
                self.tally.done += 1;
                self.records.write(&Record::Classified {
                    input: &input.name,
                    model: self.model,
                    weights: &self.weights,
                    predictions: &predictions,
                })
            }
            Err(reason) => {
                self.tally.failed += 1;
                printer.failure(&input.name, &reason);
                self.records.write(&Record::Failed {
                    input: &input.name,
                    error: &reason,
                })
            }
        }
    }
}

/// An error and its causes on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
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
