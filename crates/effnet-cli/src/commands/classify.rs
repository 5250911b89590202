//! `effnet classify`.

use std::time::Instant;

use anyhow::bail;
use effnet::{DecodeFailure, Labels, Pipeline, Prediction, Reader, Task, above_threshold, estimate, rank};

use crate::Outcome;
use crate::arguments::{ClassifyArguments, Format};
use crate::destination::{Destination, named_file};
use crate::failure::Failure;
use crate::format;
use crate::inference::Inference;
use crate::input::Input;
use crate::inputs::{self, Inputs};
use crate::interrupt::Interrupt;
use crate::missing_inputs;
use crate::outputs::{Closing, LoopEnd, for_each_output};
use crate::printer::{Printer, counted};
use crate::records::{self, Record, Records};
use crate::sharding::{Job, Share};
use crate::sink::Sink;
use crate::sorting::Sorting;
use crate::torch::TorchCommands;

pub(crate) fn run(
    arguments: &ClassifyArguments,
    torch: Option<&dyn TorchCommands>,
    printer: &Printer,
) -> anyhow::Result<Outcome> {
    let start = Instant::now();
    let output = named_file(arguments.output.as_deref());
    let destination = Destination::of(&arguments.input, output)?;
    let printer = &destination.printer(printer);
    let format = format::choose(arguments.format, output, Format::Text, printer)?;
    let is_offline = arguments.inference.network.model.zoo.offline;
    let Inputs { images, skipped, .. } = inputs::expand(&arguments.input, is_offline, printer)?;
    let closing = Closing {
        done: "classified",
        start,
        skipped,
    };
    let top_k = arguments.top_k.unwrap_or(TOP_K);
    let interrupt = Interrupt::listen();
    if destination.is_single() {
        let open = || {
            let sink = Sink::open(output, &records::frame(format, Task::Classify, top_k))?;
            Ok(Records::new(format, Task::Classify, top_k, sink))
        };
        if let Some(outcome) = missing_inputs::report(&images, &closing, &interrupt, printer, open)? {
            return Ok(outcome);
        }
    }
    let mut sorting = Sorting::of(&arguments.sorting)?;
    let inference = Inference::prepare(&arguments.inference, torch, printer)?;
    let task = inference.file().task();
    if let (Task::Regression, Some(_)) = (task, &sorting) {
        bail!(
            "sorting needs classes, but {} predicts numbers",
            inference.file().path().display()
        );
    }
    // Several labels are on several lines, even if only one reaches its threshold.
    let top_k = match (task, arguments.top_k) {
        (Task::MultiLabel, None) => 0,
        _ => top_k,
    };
    let frame = records::frame(format, task, top_k);
    let transform = inference.transform;
    let requested = arguments.inference.network.batch_size;
    let batch = requested.images().unwrap_or(1);
    let job = || job(arguments, format, &inference);
    let (inputs, sink) = match destination.open(images, frame, batch, job, &interrupt, printer)? {
        Share::Inputs(inputs, sink) => (inputs, sink),
        Share::Nothing(outcome) => return Ok(outcome),
    };

    let count = inputs.len();
    // The first images are decoded while the network is loading.
    let inputs = inputs.into_iter().map(Input::in_order);
    let reader = Reader::start(inputs, transform, inference.execution.threads, interrupt.flag())?;
    let (network, labels) = inference.load(printer)?;
    let of = (&network.config, &*network.backend);
    let batch_size = inference
        .execution
        .batch_size(of, requested, count, transform.image_size)?;
    printer.detail(format!("batches of up to {}", counted(batch_size, "image")));
    if let Some(sorting) = &mut sorting {
        sorting.name_classes(&labels);
    }
    let mut results = Results {
        records: Records::new(format, task, top_k, sink),
        labels,
        model: inference.file().variant.name(),
        weights: inference.file().weights().name.clone(),
        top_k: arguments.top_k,
        task,
        min_probability: arguments.min_probability,
        sorting,
    };
    let outputs = Pipeline::new(reader, network.backend, batch_size)?;
    let progress = results.records.progress(count, printer);
    let end = for_each_output(
        outputs,
        &progress,
        &interrupt,
        printer,
        |output, is_last_ready| {
            results.report(&output.input, &output.result, printer)?;
            if is_last_ready {
                results.records.flush()?;
            }
            Ok(())
        },
    )?;
    if end == LoopEnd::Cut {
        return Ok(Outcome::Interrupted);
    }
    results.finish(count, &closing, &interrupt, printer)
}

/// Number of classes to report, unless the user asks for another.
const TOP_K: usize = 5;

fn job(arguments: &ClassifyArguments, format: Format, inference: &Inference) -> anyhow::Result<Job> {
    let mut job = inference.job("classify")?;
    job.add("top_k", arguments.top_k.unwrap_or(TOP_K));
    job.add("format", format!("{format:?}"));
    if let Some(probability) = arguments.min_probability {
        job.add("min_probability", probability);
    }
    Ok(job)
}

/// Writes the results of `classify`, and sorts the images.
struct Results {
    records: Records,
    labels: Labels,
    model: &'static str,
    weights: String,
    top_k: Option<usize>,
    task: Task,
    min_probability: Option<f64>,
    sorting: Option<Sorting>,
}

impl Results {
    fn report(
        &mut self,
        input: &Input,
        logits: &Result<Vec<f32>, DecodeFailure>,
        printer: &Printer,
    ) -> anyhow::Result<()> {
        printer.image_warnings(|| &input.name, &input.warnings);
        let network = (self.model, self.weights.as_str());
        let predictions = match logits {
            Ok(outputs) if self.task == Task::Regression => match estimate(outputs, &self.labels) {
                Ok(values) => {
                    return self
                        .records
                        .write(&Record::estimated(&input.name, network, &values));
                }
                Err(error) => Err(error.into()),
            },
            Ok(logits) => self.rank(logits),
            Err(error) => Err(Failure::from_decoding(&input.name, error)),
        };
        match predictions {
            Ok(predictions) => {
                if let (Some(sorting), Some(best)) = (&mut self.sorting, predictions.first()) {
                    sorting.place(input, best.class, printer);
                }
                self.records
                    .write(&Record::classified(&input.name, network, &predictions))
            }
            Err(failure) => {
                printer.failure(&input.name, &failure.reason);
                self.records.write(&Record::failed(&input.name, &failure))
            }
        }
    }

    /// Returns the classes to report.
    fn rank(&self, logits: &[f32]) -> Result<Vec<Prediction>, Failure> {
        if let (Task::MultiLabel, None) = (self.task, self.top_k) {
            return Ok(above_threshold(logits, &self.labels, self.min_probability)?);
        }
        let mut predictions = rank(logits, &self.labels, self.top_k.unwrap_or(TOP_K))?;
        if let Some(least) = self.min_probability {
            predictions.retain(|prediction| prediction.probability >= least);
        }
        Ok(predictions)
    }

    fn finish(
        self,
        count: usize,
        closing: &Closing,
        interrupt: &Interrupt,
        printer: &Printer,
    ) -> anyhow::Result<Outcome> {
        let unsorted = self.sorting.map_or(0, |sorting| sorting.failed);
        let outcome = self.records.finish(count, closing, interrupt, printer)?;
        if unsorted == 0 {
            return Ok(outcome);
        }
        printer.warning(format!(
            "failed to sort {} into a folder",
            counted(unsorted, "image")
        ));
        Ok(match outcome {
            Outcome::Done => Outcome::SomeFailed,
            outcome => outcome,
        })
    }
}
