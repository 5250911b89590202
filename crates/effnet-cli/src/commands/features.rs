//! `effnet features`.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use effnet::{DecodeFailure, FeaturesRecord, ModelFile, Pipeline, Reader, normalize, transform};
use indicatif::ProgressBar;

use crate::Outcome;
use crate::arguments::{FeaturesArguments, FeaturesFormat, NetworkArguments};
use crate::destination::{Destination, named_file};
use crate::failure::{Failure, finite_features};
use crate::format;
use crate::frame::Frame;
use crate::index_file::IndexFile;
use crate::inference::{inspect, job, load, locate};
use crate::input::Input;
use crate::inputs::{self, Inputs};
use crate::interrupt::Interrupt;
use crate::missing_inputs::{self, FailureRecords};
use crate::outputs::{Closing, LoopEnd, for_each_output};
use crate::printer::Printer;
use crate::records::Record;
use crate::sharding::Share;
use crate::sink::Sink;
use crate::torch::TorchCommands;

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
    let index_path = match format {
        FeaturesFormat::Npy => Some(index_path(output, &destination)?),
        _ => None,
    };
    let Inputs { images, skipped, .. } = inputs::expand(&arguments.input, model.zoo.offline, printer)?;
    let closing = Closing {
        done: "extracted",
        start,
        skipped,
    };
    let interrupt = Interrupt::listen();
    if destination.is_single() {
        // The number of features is not known. An index without rows is not written.
        let output = output.filter(|_| index_path.is_none());
        let open = || {
            let sink = Sink::open(output, &frame(format, 0))?;
            Ok(Lines {
                sink,
                format,
                width: 0,
            })
        };
        if let Some(outcome) = missing_inputs::report(&images, &closing, &interrupt, printer, open)? {
            return Ok(outcome);
        }
    }
    let (execution, zoo, weights) = locate(&arguments.network, torch, printer)?;
    let file = inspect(weights, model, printer)?;
    let transform = transform(&preprocessing.overrides(), &file, &zoo.manifest)?;
    let job = || {
        let mut job = job("features", &file, &transform, &execution)?;
        job.add("format", format!("{format:?}"));
        if arguments.normalize {
            job.add("normalize", true);
        }
        Ok(job)
    };
    let batch = requested.images().unwrap_or(1);
    let width = file.config(1).head_channels();
    let frame = frame(format, width);
    let (inputs, target) = if let Some(path) = index_path {
        let source = file
            .index_source(&transform)?
            .with_normalized(arguments.normalize);
        (images, Target::Index(IndexFile::create(path, width, &source)?))
    } else {
        match destination.open(images, frame, batch, job, &interrupt, printer)? {
            Share::Inputs(inputs, sink) => (inputs, Target::Lines(Lines { sink, format, width })),
            Share::Nothing(outcome) => return Ok(outcome),
        }
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
        target,
        normalize: arguments.normalize,
        file: &file,
    };
    let progress = results.target.progress(count, printer);
    let end = for_each_output(
        outputs,
        &progress,
        &interrupt,
        printer,
        |output, is_last_ready| {
            results.report(&output.input, output.result, printer)?;
            match &mut results.target {
                Target::Lines(lines) if is_last_ready => Ok(lines.sink.flush()?),
                _ => Ok(()),
            }
        },
    )?;
    if end == LoopEnd::Cut {
        return Ok(Outcome::Interrupted);
    }
    match results.target {
        Target::Lines(lines) => lines.sink.finish(count, &closing, &interrupt, printer),
        Target::Index(index) => index.finish(count, &closing, &interrupt, printer),
    }
}

/// Returns the file for an index, which one process writes.
fn index_path<'a>(output: Option<&'a Path>, destination: &Destination<'_>) -> anyhow::Result<&'a Path> {
    ensure!(
        destination.is_single(),
        "--format npy is written by one process: unset RANK and WORLD_SIZE, or use --format csv or json"
    );
    output.context("--format npy needs a file: name it with --output FILE.npy")
}

/// Returns the header of the table: the input, the numbered features, and the error.
fn frame(format: FeaturesFormat, width: usize) -> Frame {
    match format {
        FeaturesFormat::Json | FeaturesFormat::Npy => Frame::default(),
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

/// Where the results go.
enum Target {
    Lines(Lines),
    Index(IndexFile),
}

impl Target {
    fn progress(&self, count: usize, printer: &Printer) -> ProgressBar {
        match self {
            Self::Lines(lines) => lines.sink.progress(count, printer),
            Self::Index(_) => printer.progress(count as u64),
        }
    }
}

/// Writes the results of `features`.
struct Results<'a> {
    target: Target,
    /// Whether vectors are scaled to length 1.
    normalize: bool,
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
        let mut features = finite_features(name, features);
        if let (Ok(features), true) = (&mut features, self.normalize) {
            normalize(features);
        }
        if let Err(failure) = &features {
            printer.failure(name, &failure.reason);
        }
        match (&mut self.target, &features) {
            (Target::Index(index), _) => index.push(name, &features),
            (Target::Lines(lines), Ok(features)) => lines.extracted(name, features, self.file),
            (Target::Lines(lines), Err(failure)) => lines.failed(name, failure),
        }
    }
}

/// Writes a line per input.
struct Lines {
    sink: Sink,
    format: FeaturesFormat,
    /// The number of features.
    width: usize,
}

impl Lines {
    fn extracted(&mut self, input: &str, features: &[f32], file: &ModelFile) -> anyhow::Result<()> {
        match self.format {
            FeaturesFormat::Csv => self.row(input, features.iter().map(f32::to_string), "")?,
            FeaturesFormat::Json | FeaturesFormat::Npy => {
                let network = (file.variant.name(), file.weights().name.as_str());
                self.sink.json(&FeaturesRecord::new(input, network, features))?;
            }
        }
        self.sink.end_input(true)
    }

    fn row(
        &mut self,
        input: &str,
        features: impl Iterator<Item = String>,
        error: &str,
    ) -> std::io::Result<()> {
        let input = std::iter::once(input.to_owned());
        self.sink
            .csv(input.chain(features).chain(std::iter::once(error.to_owned())))
    }
}

impl FailureRecords for Lines {
    fn failed(&mut self, input: &str, failure: &Failure) -> anyhow::Result<()> {
        match self.format {
            FeaturesFormat::Csv => {
                let empty = std::iter::repeat_n(String::new(), self.width);
                self.row(input, empty, &failure.reason)?;
            }
            FeaturesFormat::Json => self.sink.json(&Record::failed(input, failure))?,
            // An index has no row for an image that failed.
            FeaturesFormat::Npy => {}
        }
        self.sink.end_input(false)
    }

    fn into_sink(self) -> Sink {
        self.sink
    }
}
