//! `effnet similar`.
//!
//! The images of a folder without an index and the queries go through one pipeline, the queries last, so that the
//! network is loaded once.

mod report;
mod source;

use std::time::Instant;

use std::io::Write as _;

use anyhow::ensure;
use effnet::{ModelFile, Output, Pipeline, Reader, transform};

use crate::Outcome;
use crate::arguments::{NetworkArguments, SimilarArguments, SimilarFormat};
use crate::destination::{Destination, named_file};
use crate::failure::{Failure, finite_features};
use crate::format;
use crate::inference::{inspect, load, locate};
use crate::input::Input;
use crate::inputs::{self, Inputs};
use crate::interrupt::Interrupt;
use crate::missing_inputs::{self, FailureRecords as _};
use crate::outputs::{Closing, LoopEnd, for_each_output};
use crate::printer::Printer;
use crate::torch::TorchCommands;
use report::{Report, check_sheet};
use source::Source;

/// The number of queries that are answered in one pass over the index.
const QUERIES: usize = 256;

pub(crate) fn run(
    arguments: &SimilarArguments,
    torch: Option<&dyn TorchCommands>,
    printer: &Printer,
) -> anyhow::Result<Outcome> {
    let start = Instant::now();
    let output = named_file(arguments.output.as_deref());
    ensure!(
        Destination::of(&arguments.input, output)?.is_single(),
        "effnet similar runs in one process: unset RANK and WORLD_SIZE"
    );
    let format = format::choose(arguments.format, output, SimilarFormat::Text, printer)?;
    let NetworkArguments {
        model,
        preprocessing,
        batch_size: requested,
        ..
    } = &arguments.network;
    let Inputs { images, skipped, .. } = inputs::expand(&arguments.input, model.zoo.offline, printer)?;
    if format == SimilarFormat::Png {
        ensure!(
            output.is_some(),
            "--format png needs a file: name it with --output FILE.png"
        );
        check_sheet(images.len(), arguments.top_k)?;
    }
    let closing = Closing {
        done: "searched for",
        start,
        skipped,
    };
    let count = images.len();
    let interrupt = Interrupt::listen();
    let open = |output| Report::open(output, format, arguments.top_k);
    // A contact sheet without images is not written.
    let reported = output.filter(|_| format != SimilarFormat::Png);
    let of_failures = || open(reported);
    if let Some(outcome) = missing_inputs::report(&images, &closing, &interrupt, printer, of_failures)? {
        return Ok(outcome);
    }
    let (execution, zoo, weights) = locate(&arguments.network, torch, printer)?;
    let file = inspect(weights, model, printer)?;
    let transform = transform(&preprocessing.overrides(), &file, &zoo.manifest)?;
    let network = file.index_source(&transform)?;
    let width = file.config(1).head_channels();
    let (source, missing) = Source::prepare(arguments, (&network, width), printer)?;
    let report = open(output)?;
    let missing_count = missing.len();
    let total = missing_count + count;
    let inputs = missing.into_iter().chain(images).map(Input::in_order);
    let reader = Reader::start(inputs, transform, execution.threads, interrupt.flag())?;
    let network = load(&file, true, &execution, printer)?;
    let of = (&network.config, &*network.backend);
    let batch_size = execution.batch_size(of, *requested, total, transform.image_size)?;
    let outputs = Pipeline::new(reader, network.backend, batch_size)?;
    let mut search = Search {
        source: Some(source),
        missing: missing_count,
        queries: Vec::new(),
        file: &file,
        report,
        top_k: arguments.top_k,
        threads: execution.threads,
    };
    search.complete_index(printer)?;
    let progress = if missing_count > 0 {
        printer.progress(total as u64)
    } else {
        search.report.sink.progress(total, printer)
    };
    let end = for_each_output(outputs, &progress, &interrupt, printer, |output, _| {
        search.take(output, printer)
    })?;
    if end == LoopEnd::Cut {
        return Ok(Outcome::Interrupted);
    }
    if interrupt.is_set() && search.missing > 0 {
        printer.warning("interrupted before the index was complete; it was not written");
        return Ok(Outcome::Interrupted);
    }
    search.answer()?;
    let mut report = search.report;
    report.complete()?;
    report.sink.finish(count, &closing, &interrupt, printer)
}

/// A search in progress.
struct Search<'a> {
    /// `None` only while the index is being completed.
    source: Option<Source>,
    /// The number of images whose features the index still needs.
    missing: usize,
    /// Queries that are not answered yet.
    queries: Vec<(Input, Result<Vec<f32>, Failure>)>,
    file: &'a ModelFile,
    report: Report,
    top_k: usize,
    threads: usize,
}

impl Search<'_> {
    /// Adds the features of the next image to the index or to the queries.
    fn take(&mut self, output: Output<Input>, printer: &Printer) -> anyhow::Result<()> {
        let Output {
            input,
            result: features,
            ..
        } = output;
        printer.image_warnings(|| &input.name, &input.warnings);
        let features = finite_features(&input.name, features);
        if let Err(failure) = &features {
            printer.failure(&input.name, &failure.reason);
        }
        if self.missing == 0 {
            self.queries.push((input, features));
            return if self.queries.len() < QUERIES {
                Ok(())
            } else {
                self.answer()
            };
        }
        if let Some(source) = &mut self.source {
            let features = features.map(|mut features| {
                effnet::normalize(&mut features);
                features
            });
            source.push(&input, features.as_ref().map(Vec::as_slice))?;
        }
        self.missing -= 1;
        self.complete_index(printer)
    }

    /// Completes the index once it needs no more images.
    fn complete_index(&mut self, printer: &Printer) -> anyhow::Result<()> {
        if self.missing == 0
            && let Some(source) = self.source.take()
        {
            self.source = Some(source.complete(printer)?);
        }
        Ok(())
    }

    /// Answers the queries so far.
    fn answer(&mut self) -> anyhow::Result<()> {
        let Some(source) = &self.source else {
            return Ok(());
        };
        let index = source.ready()?;
        let vectors: Vec<&Vec<f32>> = self
            .queries
            .iter()
            .filter_map(|(_, features)| features.as_ref().ok())
            .collect();
        let mut found = index.search(&vectors, self.top_k, self.threads)?.into_iter();
        for (query, features) in self.queries.drain(..) {
            match features {
                Ok(_) => {
                    let neighbors = found.next().unwrap_or_default();
                    self.report.found(&query, &neighbors, source, self.file)?;
                }
                Err(failure) => self.report.failed(&query.name, &failure)?,
            }
        }
        Ok(self.report.sink.flush()?)
    }
}
