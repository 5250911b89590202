//! `effnet features`.

use std::io::Write;

use effnet::{ModelFile, Pipeline, Reader, check_finite, transform};
use effnet_data::chain;
use serde::Serialize;

use crate::Outcome;
use crate::arguments::{FeaturesArguments, FeaturesFormat, NetworkArguments};
use crate::destination::Destination;
use crate::frame::Frame;
use crate::inference::{job, load, locate, options};
use crate::inputs;
use crate::interrupt::Interrupt;
use crate::outputs::{LoopEnd, for_each_output};
use crate::printer::Printer;
use crate::sharding::Share;
use crate::sink::Sink;
use crate::torch::TorchCommands;

/// A line of JSON output.
#[derive(Serialize)]
#[serde(untagged)]
enum Record<'a> {
    Done {
        input: &'a str,
        model: &'a str,
        weights: &'a str,
        features: &'a [f32],
    },
    Failed {
        input: &'a str,
        error: &'a str,
    },
}

pub(crate) fn run(
    arguments: &FeaturesArguments,
    torch: Option<&dyn TorchCommands>,
    printer: &Printer,
) -> anyhow::Result<Outcome> {
    let NetworkArguments {
        model,
        preprocessing,
        batch_size: requested,
        ..
    } = &arguments.network;
    let destination = Destination::of(&arguments.inputs, arguments.output.as_deref())?;
    let printer = &destination.printer(printer);
    let (execution, zoo, weights) = locate(&arguments.network, torch, printer)?;
    let file = ModelFile::inspect(weights, &options(model))?;
    let transform = transform(&preprocessing.overrides(), &file, &zoo.manifest)?;
    let inputs = inputs::expand(&arguments.inputs)?;
    let job = || {
        let mut job = job("features", &file, &transform, &execution)?;
        job.add("format", format!("{:?}", arguments.format));
        Ok(job)
    };
    let batch = requested.images().unwrap_or(1);
    let frame = Frame::default();
    let interrupt = Interrupt::listen();
    let (inputs, mut sink) = match destination.open(inputs, frame, batch, job, &interrupt, printer)? {
        Share::Inputs(inputs, sink) => (inputs, sink),
        Share::Nothing(outcome) => return Ok(outcome),
    };

    let count = inputs.len();
    // The first images are decoded while the network is loaded.
    let reader = Reader::start(inputs, transform, execution.threads, interrupt.flag())?;
    let network = load(&file, true, &execution, printer)?;
    let of = (&network.config, &*network.backend);
    let batch_size = execution.batch_size(of, *requested, count, transform.image_size)?;
    let outputs = Pipeline::new(reader, network.backend, batch_size)?;
    let end = for_each_output(outputs, count, &interrupt, printer, |output, is_last_ready| {
        let input = &output.input.name;
        printer.image_warnings(|| input, &output.input.warnings);
        let features = output.result.map_err(|error| chain(&error));
        let features = features.and_then(|features| match check_finite(&features, "feature") {
            Ok(()) => Ok(features),
            Err(error) => Err(error.to_string()),
        });
        let record = match &features {
            Ok(features) => Record::Done {
                input,
                model: file.variant.name(),
                weights: &file.weights().name,
                features,
            },
            Err(error) => {
                printer.failure(input, error);
                Record::Failed { input, error }
            }
        };
        write(&mut sink, arguments.format, &record)?;
        sink.end_input(features.is_ok())?;
        if is_last_ready {
            sink.flush()?;
        }
        Ok(())
    })?;
    if end == LoopEnd::Cut {
        return Ok(Outcome::Interrupted);
    }
    sink.finish(count, &interrupt, printer)
}

fn write(sink: &mut Sink, format: FeaturesFormat, record: &Record<'_>) -> anyhow::Result<()> {
    match (format, record) {
        (FeaturesFormat::Json, record) => {
            serde_json::to_writer(&mut *sink, record).map_err(std::io::Error::from)?;
            writeln!(sink)?;
        }
        (FeaturesFormat::Csv, Record::Done { input, features, .. }) => {
            let fields = std::iter::once((*input).to_owned()).chain(features.iter().map(f32::to_string));
            let mut writer = csv::Writer::from_writer(sink);
            writer.write_record(fields).map_err(std::io::Error::from)?;
            writer.flush()?;
        }
        // A row has no column for it; it is printed on standard error.
        (FeaturesFormat::Csv, Record::Failed { .. }) => {}
    }
    Ok(())
}
