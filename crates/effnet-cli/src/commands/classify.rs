//! `effnet classify`.

use effnet_infer::{InputError, Pipeline, Reader};

use crate::Outcome;
use crate::arguments::ClassifyArguments;
use crate::inference::Inference;
use crate::inputs::{self, Input};
use crate::interrupt::Interrupt;
use crate::labels::Labels;
use crate::model::{Model, batch_size};
use crate::pass::{Passed, Tally, chain, pass};
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
    let asked = arguments.inference.network.batch_size;
    let of = (&model.config, &model.network);
    let batch_size = batch_size(of, asked, count, transform.image_size, &execution)?;
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
    results.records.finish()?;
    Ok(results.tally.outcome(count, &interrupt, printer))
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
