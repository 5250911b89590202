//! `effnet classify`.

use effnet::{DecodeFailure, Labels, Pipeline, Reader, rank};
use effnet_data::chain;

use crate::Outcome;
use crate::arguments::ClassifyArguments;
use crate::destination::Destination;
use crate::inference::Inference;
use crate::input::Input;
use crate::inputs;
use crate::interrupt::Interrupt;
use crate::outputs::{LoopEnd, for_each_output};
use crate::printer::{Printer, counted};
use crate::records::{self, Record, Records};
use crate::sharding::{Job, Share};
use crate::torch::TorchCommands;

pub(crate) fn run(
    arguments: &ClassifyArguments,
    torch: Option<&dyn TorchCommands>,
    printer: &Printer,
) -> anyhow::Result<Outcome> {
    let destination = Destination::of(&arguments.inputs, arguments.output.as_deref())?;
    let printer = &destination.printer(printer);
    let inference = Inference::prepare(&arguments.inference, torch, printer)?;
    let transform = inference.transform;
    let inputs = inputs::expand(&arguments.inputs)?;
    let requested = arguments.inference.network.batch_size;
    let batch = requested.images().unwrap_or(1);
    let job = || job(arguments, &inference);
    let frame = records::frame(arguments.format);
    let interrupt = Interrupt::listen();
    let (inputs, sink) = match destination.open(inputs, frame, batch, job, &interrupt, printer)? {
        Share::Inputs(inputs, sink) => (inputs, sink),
        Share::Nothing(outcome) => return Ok(outcome),
    };

    let count = inputs.len();
    // The first images are decoded while the network is loaded.
    let reader = Reader::start(inputs, transform, inference.execution.threads, interrupt.flag())?;
    let (network, labels) = inference.load(printer)?;
    let of = (&network.config, &*network.backend);
    let batch_size = inference
        .execution
        .batch_size(of, requested, count, transform.image_size)?;
    printer.detail(format!("batches of up to {}", counted(batch_size, "image")));
    let mut results = Results {
        records: Records::new(arguments.format, sink),
        labels,
        model: inference.file().variant.name(),
        weights: inference.file().weights().name.clone(),
        top_k: arguments.top_k,
    };
    let outputs = Pipeline::new(reader, network.backend, batch_size)?;
    let end = for_each_output(outputs, count, &interrupt, printer, |output, is_last_ready| {
        results.report(&output.input, &output.result, printer)?;
        if is_last_ready {
            results.records.flush()?;
        }
        Ok(())
    })?;
    if end == LoopEnd::Cut {
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

/// Writes the results of `classify`.
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
        logits: &Result<Vec<f32>, DecodeFailure>,
        printer: &Printer,
    ) -> anyhow::Result<()> {
        printer.image_warnings(|| &input.name, &input.warnings);
        let predictions = match logits {
            Ok(logits) => rank(logits, &self.labels, self.top_k).map_err(|error| error.to_string()),
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
