//! `effnet classify`.

use effnet_infer::{InputError, Pipeline, Reader};

use crate::Outcome;
use crate::arguments::ClassifyArguments;
use crate::destination::Destination;
use crate::inference::Inference;
use crate::inputs::{self, Input};
use crate::interrupt::Interrupt;
use crate::labels::Labels;
use crate::model::{Model, batch_size};
use crate::pass::{Passed, chain, pass};
use crate::prediction;
use crate::printer::Printer;
use crate::records::{self, Record, Records};
use crate::sharding::{Job, Share};

pub(crate) fn run(arguments: &ClassifyArguments, printer: &Printer) -> anyhow::Result<Outcome> {
    let destination = Destination::of(&arguments.inputs, arguments.output.as_deref())?;
    let printer = &destination.printer(printer);
    let inference = Inference::prepare(&arguments.inference, printer)?;
    let transform = inference.transform;
    let inputs = inputs::expand(&arguments.inputs)?;
    let asked = arguments.inference.network.batch_size;
    let batch = asked.asked().unwrap_or(1);
    let job = || job(arguments, &inference);
    let frame = records::frame(arguments.format);
    let interrupt = Interrupt::listen();
    let (inputs, sink) = match destination.open(inputs, frame, batch, job, &interrupt, printer)? {
        Share::Inputs(inputs, sink) => (inputs, sink),
        Share::Nothing(outcome) => return Ok(outcome),
    };

    let count = inputs.len();
    // The first images are decoded while the network is made.
    let reader = Reader::start(inputs, transform, inference.execution.threads, interrupt.flag())?;
    let (model, execution) = inference.load(printer)?;
    let of = (&model.config, &model.network);
    let batch_size = batch_size(of, asked, count, transform.image_size, &execution)?;
    printer.detail(format!("batches of up to {batch_size} images"));
    let Model { network, labels, .. } = model;
    let mut results = Results {
        records: Records::new(arguments.format, sink),
        labels,
        model: model.variant.name(),
        weights: model.weights,
        top_k: arguments.top_k,
    };
    let outputs = Pipeline::new(reader, network, batch_size)?;
    let passed = pass(outputs, count, &interrupt, printer, |output, is_last_ready| {
        results.report(&output.input, &output.result, printer)?;
        if is_last_ready {
            results.records.flush()?;
        }
        Ok(())
    })?;
    if passed == Passed::Cut {
        return Ok(Outcome::Interrupted);
    }
    results.records.finish(count, &interrupt, printer)
}

fn job(arguments: &ClassifyArguments, inference: &Inference) -> anyhow::Result<Job> {
    let mut job = inference.job("classify")?;
    job.add("top_k", arguments.top_k);
    job.add("format", format!("{:?}", arguments.format));
    Ok(job)
}

/// Where results go, and what they are reported with.
struct Results {
    records: Records,
    labels: Labels,
    model: &'static str,
    weights: String,
    top_k: usize,
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
            Ok(predictions) => self.records.write(&Record::Classified {
                input: &input.name,
                model: self.model,
                weights: &self.weights,
                predictions: &predictions,
            }),
            Err(reason) => {
                printer.failure(&input.name, &reason);
                self.records.write(&Record::Failed {
                    input: &input.name,
                    error: &reason,
                })
            }
        }
    }
}
