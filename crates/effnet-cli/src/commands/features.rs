//! `effnet features`.

use std::io::Write;

use effnet_infer::{InputError, Pipeline, Reader};
use serde::Serialize;

use super::classify::{chain, explain, unless_interrupted, warn_of_the_rest};
use crate::Outcome;
use crate::arguments::{FeaturesArguments, FeaturesFormat, NetworkArguments};
use crate::execution::{Execution, Features};
use crate::inference::BatchSizeWatch;
use crate::inputs;
use crate::interrupt::Interrupt;
use crate::model::{ModelFile, batch_size};
use crate::preprocessing;
use crate::printer::Printer;
use crate::sink::Sink;
use crate::zoo::Zoo;

/// A line of JSON.
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

pub(crate) fn run(arguments: &FeaturesArguments, printer: &Printer) -> anyhow::Result<Outcome> {
    let NetworkArguments { model, .. } = &arguments.network;
    let execution = Execution::prepare(&arguments.network.execution, printer)?;
    let zoo = Zoo::open(&model.zoo)?;
    let weights = zoo.locate(model.model.as_ref(), model.weights.as_deref(), printer)?;
    let asked = model.model.as_ref().map(|model| model.variant);
    let file = ModelFile::inspect(weights, asked, model.profile)?;
    let transform = preprocessing::transform(&arguments.network.preprocessing, &file, &zoo.manifest)?;
    let inputs = inputs::expand(&arguments.inputs)?;
    let mut sink = Sink::open(arguments.output.as_deref())?;

    let interrupt = Interrupt::listen();
    let count = inputs.len();
    // The first images are decoded while the network is made.
    let reader = Reader::start(inputs, transform, execution.threads, interrupt.flag())?;
    let (config, network) = file.load_features(&execution, printer)?;
    let asked = arguments.network.batch_size;
    let batch_size = batch_size(
        (&config, &network),
        asked,
        count,
        transform.image_size,
        &execution,
    )?;
    let mut outputs = Pipeline::new(reader, Features(network), batch_size)?;
    let progress = printer.progress(count as u64);
    let mut watch = BatchSizeWatch::default();
    let (mut done, mut failed) = (0_usize, 0_usize);
    while let Some(output) = outputs.next() {
        let output = output.map_err(explain)?;
        let input = &output.input.name;
        let result = output
            .result
            .map_err(|error: InputError| chain(&error))
            .and_then(finite);
        let record = match &result {
            Ok(features) => {
                done += 1;
                let (model, weights) = (file.variant.name(), file.weights());
                Record::Done {
                    input,
                    model,
                    weights,
                    features,
                }
            }
            Err(error) => {
                failed += 1;
                printer.failure(input, error);
                Record::Failed { input, error }
            }
        };
        let written = write(&mut sink, arguments.format, &record);
        let written = written.and_then(|()| match outputs.ready() {
            0 => Ok(sink.flush()?),
            _ => Ok(()),
        });
        if unless_interrupted(written, &interrupt)?.is_none() {
            return Ok(Outcome::Interrupted);
        }
        watch.look(outputs.reduced_batch_size(), printer);
        progress.inc(1);
    }
    progress.finish_and_clear();
    sink.finish()?;
    if interrupt.is_set() {
        warn_of_the_rest(done + failed, count, printer);
    }
    Ok(match (done, failed) {
        _ if interrupt.is_set() => Outcome::Interrupted,
        (_, 0) => Outcome::Done,
        (0, _) => Outcome::NothingDone,
        _ => Outcome::SomeFailed,
    })
}

/// A vector that an index can take.
fn finite(features: Vec<f32>) -> Result<Vec<f32>, String> {
    match features.iter().position(|feature| !feature.is_finite()) {
        None => Ok(features),
        Some(number) => Err(format!(
            "the network gave {} for feature {number}, expected a finite number; the weights or the precision \
             do not suit it",
            features[number]
        )),
    }
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
        // A table has no place for it; it was said on standard error.
        (FeaturesFormat::Csv, Record::Failed { .. }) => {}
    }
    Ok(())
}
