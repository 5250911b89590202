//! `effnet features`.

use std::io::Write;
use std::time::Instant;

use effnet::{DecodeFailure, ModelFile, Pipeline, Reader, check_finite, transform};
use serde::Serialize;

use crate::Outcome;
use crate::arguments::{FeaturesArguments, FeaturesFormat, NetworkArguments};
use crate::destination::{Destination, named_file};
use crate::failure::{Failure, FailureKind};
use crate::format;
use crate::frame::Frame;
use crate::inference::{inspect, job, load, locate};
use crate::input::Input;
use crate::inputs::{self, Inputs};
use crate::interrupt::Interrupt;
use crate::outputs::{Closing, LoopEnd, for_each_output};
use crate::printer::Printer;
use crate::sharding::Share;
use crate::sink::{SCHEMA, Sink};
use crate::torch::TorchCommands;

/// The result for one input, which is one line of JSON.
#[derive(Serialize)]
#[serde(untagged)]
enum Record<'a> {
    Done {
        schema: u32,
        input: &'a str,
        model: &'a str,
        weights: &'a str,
        features: &'a [f32],
    },
    Failed {
        schema: u32,
        input: &'a str,
        kind: FailureKind,
        error: &'a str,
    },
}

pub(crate) fn run(
    arguments: &FeaturesArguments,
    torch: Option<&dyn TorchCommands>,
    printer: &Printer,
) -> anyhow::Result<Outcome> {
    let start = Instant::now();
    let NetworkArguments {
        model,
        preprocessing,
        batch_size: requested,
        ..
    } = &arguments.network;
    let output = named_file(arguments.output.as_deref());
    let destination = Destination::of(&arguments.input, output)?;
    let printer = &destination.printer(printer);
    let format = format::choose(arguments.format, output, FeaturesFormat::Json, printer)?;
    let Inputs { images, skipped, .. } = inputs::expand(&arguments.input, model.zoo.offline, printer)?;
    let closing = Closing {
        done: "extracted",
        start,
        skipped,
    };
    let (execution, zoo, weights) = locate(&arguments.network, torch, printer)?;
    let file = inspect(weights, model, printer)?;
    let transform = transform(&preprocessing.overrides(), &file, &zoo.manifest)?;
    let job = || {
        let mut job = job("features", &file, &transform, &execution)?;
        job.add("format", format!("{format:?}"));
        Ok(job)
    };
    let batch = requested.images().unwrap_or(1);
    let width = file.config(1).head_channels();
    let frame = frame(format, width);
    let interrupt = Interrupt::listen();
    let (inputs, sink) = match destination.open(images, frame, batch, job, &interrupt, printer)? {
        Share::Inputs(inputs, sink) => (inputs, sink),
        Share::Nothing(outcome) => return Ok(outcome),
    };

    let count = inputs.len();
    // The first images are decoded while the network is loading.
    let inputs = inputs.into_iter().map(Input::in_order);
    let reader = Reader::start(inputs, transform, execution.threads, interrupt.flag())?;
    let network = load(&file, true, &execution, printer)?;
    let of = (&network.config, &*network.backend);
    let batch_size = execution.batch_size(of, *requested, count, transform.image_size)?;
    let outputs = Pipeline::new(reader, network.backend, batch_size)?;
    let mut results = Results {
        sink,
        format,
        width,
        file: &file,
    };
    let progress = results.sink.progress(count, printer);
    let end = for_each_output(
        outputs,
        &progress,
        &interrupt,
        printer,
        |output, is_last_ready| {
            results.report(&output.input, output.result, printer)?;
            if is_last_ready {
                results.sink.flush()?;
            }
            Ok(())
        },
    )?;
    if end == LoopEnd::Cut {
        return Ok(Outcome::Interrupted);
    }
    results.sink.finish(count, &closing, &interrupt, printer)
}

/// Returns the header of the table: the input, the numbered features, and the error.
fn frame(format: FeaturesFormat, width: usize) -> Frame {
    match format {
        FeaturesFormat::Json => Frame::default(),
        FeaturesFormat::Csv => {
            let mut columns = vec!["input".to_owned()];
            columns.extend((0..width).map(|feature| feature.to_string()));
            columns.push("error\n".to_owned());
            Frame {
                header: columns.join(",").into_bytes(),
                separator: "",
            }
        }
    }
}

/// Writes the results of `features`.
struct Results<'a> {
    sink: Sink,
    format: FeaturesFormat,
    /// The number of features.
    width: usize,
    file: &'a ModelFile,
}

impl Results<'_> {
    fn report(
        &mut self,
        Input { name, warnings, .. }: &Input,
        features: Result<Vec<f32>, DecodeFailure>,
        printer: &Printer,
    ) -> anyhow::Result<()> {
        printer.image_warnings(|| name, warnings);
        let features = features.map_err(|error| Failure::of_decoding(name, &error));
        let features = features.and_then(|features| {
            check_finite(&features, "feature")?;
            Ok(features)
        });
        if let Err(failure) = &features {
            printer.failure(name, &failure.reason);
        }
        match self.format {
            FeaturesFormat::Json => self.sink.json(&record(name, &features, self.file))?,
            FeaturesFormat::Csv => self.write_row(name, &features)?,
        }
        self.sink.end_input(features.is_ok())
    }

    fn write_row(&mut self, input: &str, features: &Result<Vec<f32>, Failure>) -> std::io::Result<()> {
        let (numbers, error) = match features {
            Ok(features) => (features.iter().map(f32::to_string).collect(), ""),
            Err(failure) => (vec![String::new(); self.width], failure.reason.as_str()),
        };
        let input = std::iter::once(input.to_owned());
        self.sink
            .csv(input.chain(numbers).chain(std::iter::once(error.to_owned())))
    }
}

fn record<'a>(input: &'a str, features: &'a Result<Vec<f32>, Failure>, file: &'a ModelFile) -> Record<'a> {
    match features {
        Ok(features) => Record::Done {
            schema: SCHEMA,
            input,
            model: file.variant.name(),
            weights: &file.weights().name,
            features,
        },
        Err(failure) => Record::Failed {
            schema: SCHEMA,
            input,
            kind: failure.kind,
            error: &failure.reason,
        },
    }
}
