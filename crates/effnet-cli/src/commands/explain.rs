//! `effnet explain`.

mod files;
mod raw;
mod results;

use std::path::Path;
use std::time::Instant;

use anyhow::{anyhow, ensure};
use effnet::{
    BatchDemand, Engine, EngineOptions, ExplainError, ExplainedClasses, Explainer, Explanation, Images,
    Labels, LoadOptions, ModelFile, Source as _, Task, available_memory, transform,
};
use effnet_data::{DecodeWindow, Decoded, DisplayedPhoto};
use effnet_image::{EvalTransform, Region};

use crate::Outcome;
use crate::arguments::{ExplainArguments, Format};
use crate::destination::named_file;
use crate::execution::threads;
use crate::failure::Failure;
use crate::handover;
use crate::inference::{find, of_labels, options, warn};
use crate::input::Input;
use crate::inputs::{self, Inputs};
use crate::interrupt::Interrupt;
use crate::launcher::refuse_group;
use crate::missing_inputs::{self, FailureRecords as _};
use crate::outputs::Closing;
use crate::printer::Printer;
use crate::torch::TorchCommands;
use files::{Overlay, create_folder, plan, write};
use results::{Explained, Results};

/// An image as the network sees it and as its overlay shows it.
struct Prepared {
    pixels: Vec<f32>,
    photo: DisplayedPhoto,
    /// Width and height in pixels.
    size: [usize; 2],
    /// The part of the image that the network sees.
    region: Region,
}

pub(crate) fn run(
    arguments: &ExplainArguments,
    torch: Option<&dyn TorchCommands>,
    printer: &Printer,
) -> anyhow::Result<Outcome> {
    let start = Instant::now();
    refuse_group("explain")?;
    arguments.options(None)?.check()?;
    let format = format(arguments)?;
    let labels = arguments.labels.as_deref().map(Labels::open).transpose()?;
    let Inputs { images, skipped, .. } =
        inputs::expand(&arguments.input, arguments.model.zoo.offline, printer)?;
    let closing = Closing {
        done: "explained",
        start,
        skipped,
    };
    let overlays = plan(&arguments.output, &images, arguments.raw, arguments.force)?;
    let interrupt = Interrupt::listen();
    let open = || Results::open(format, arguments.top_k);
    if let Some(outcome) = missing_inputs::report(&images, &closing, &interrupt, printer, open)? {
        return Ok(outcome);
    }
    let (zoo, weights) = find(&arguments.model, printer)?;
    let named = options(&arguments.model)
        .with_num_classes(arguments.classes.num_classes)
        .with_labels(labels.clone());
    let file =
        ModelFile::open(weights, &named).map_err(|error| of_labels(error, arguments.labels.as_deref()))?;
    warn(&file, printer);
    ensure!(
        file.task() != Task::Regression,
        "{}: the network predicts numbers, and only classes can be explained",
        file.path().display()
    );
    let transform = transform(&arguments.preprocessing.overrides(), &file, &zoo.manifest)?;
    let labels = class_names(&file, labels, printer)?;
    let classes = match &arguments.class {
        Some(name) => ExplainedClasses::Class(labels.find(name).map_err(|error| anyhow!("--class {error}"))?),
        None => ExplainedClasses::Best(arguments.top_k),
    };

    create_folder(&arguments.output, &overlays)?;
    let count = images.len();
    let window = decode(images, transform, threads(arguments.threads), &interrupt)?;
    let explainer = explainer(arguments, &file, transform.image_size, torch)?;
    announce(&explainer, transform.image_size, count, printer)?;
    let results = open()?;
    let progress = results.sink.progress(count, printer);
    let mut command = Command {
        arguments,
        explainer: &explainer,
        classes,
        labels: &labels,
        file: &file,
        side: transform.image_size,
        results,
    };
    let mut overlays = overlays.into_iter();
    while let (Some(decoded), Some(overlay)) = (window.take(), overlays.next()) {
        match command.handle(decoded, &overlay, &interrupt, printer) {
            Ok(true) => progress.inc(1),
            Ok(false) => break,
            Err(_) if interrupt.is_set() => return Ok(Outcome::Interrupted),
            Err(error) => return Err(error),
        }
    }
    progress.finish_and_clear();
    command.results.sink.finish(count, &closing, &interrupt, printer)
}

/// Returns the format of the results, or `None` if the overlay itself goes to standard output.
fn format(arguments: &ExplainArguments) -> anyhow::Result<Option<Format>> {
    if named_file(Some(&arguments.output)).is_some() {
        return Ok(Some(arguments.format.unwrap_or(Format::Text)));
    }
    ensure!(
        arguments.format.is_none() && arguments.raw.is_none(),
        "--output -: the overlay goes to standard output; omit --format and --raw, or write to a folder or file"
    );
    Ok(None)
}

fn class_names(file: &ModelFile, labels: Option<Labels>, printer: &Printer) -> anyhow::Result<Labels> {
    Ok(file.labels(labels)?.unwrap_or_else(|| {
        printer.warning("these weights have no class names: pass them with --labels FILE");
        file.numbered_labels()
    }))
}

/// Decodes the images a few ahead, on several threads.
fn decode(
    images: Vec<Input>,
    transform: EvalTransform,
    threads: usize,
    interrupt: &Interrupt,
) -> anyhow::Result<DecodeWindow<Input, Prepared>> {
    let threads = threads.min(images.len()).max(1);
    let prepare = move |input: &mut Input| {
        let image = input.image()?;
        let (width, height) = (image.width(), image.height());
        let region = transform.visible_region(width, height)?;
        let prepared = Prepared {
            pixels: transform.apply(&image)?,
            photo: DisplayedPhoto::new(&image, region)?,
            size: [width, height],
            region,
        };
        let warnings = image.warnings().to_vec();
        drop(image);
        input.warnings = warnings;
        Ok(prepared)
    };
    let inputs = images.into_iter().map(Input::in_order);
    let pool = (threads, "effnet-decode");
    Ok(DecodeWindow::start(
        inputs,
        threads,
        pool,
        &interrupt.flag(),
        prepare,
    )?)
}

fn explainer(
    arguments: &ExplainArguments,
    file: &ModelFile,
    side: usize,
    torch: Option<&dyn TorchCommands>,
) -> anyhow::Result<Explainer> {
    let config = file.config(file.num_classes());
    let parameters = file.parameters(&config, LoadOptions::default())?;
    let threads = threads(arguments.threads);
    let engine = Engine::new(&parameters, EngineOptions::default().with_threads(threads))?;
    let batch_size = match arguments.batch_size.images() {
        Some(images) => images,
        None => BatchDemand::new(&engine, &config, side, threads)?.batch_size(available_memory()),
    };
    let options = arguments.options(Some(&config))?.with_batch_size(batch_size);
    if options.needs_gradients() {
        let gradients = torch
            .ok_or_else(|| handover::missing(handover::GRADIENTS))?
            .gradients(&parameters, threads)?;
        return Ok(Explainer::with_gradients(engine, options, gradients)?);
    }
    Ok(Explainer::new(engine, options)?)
}

/// Says what a method costs that needs more than one pass per image.
fn announce(explainer: &Explainer, side: usize, images: usize, printer: &Printer) -> anyhow::Result<()> {
    let passes = explainer.passes(side)?;
    // Two, with a gradient, are not worth a note.
    if passes > 2 {
        let method = explainer.method().name();
        let total = if images > 1 {
            format!(", {} in total", passes.saturating_mul(images))
        } else {
            String::new()
        };
        printer.note(format!(
            "--method {method} runs the network {passes} times per image{total}; cam and layercam run it once"
        ));
    }
    Ok(())
}

/// The command while it goes through the images.
struct Command<'a> {
    arguments: &'a ExplainArguments,
    explainer: &'a Explainer,
    classes: ExplainedClasses,
    labels: &'a Labels,
    file: &'a ModelFile,
    /// Side of the network's input.
    side: usize,
    results: Results,
}

impl Command<'_> {
    /// Explains an image, and writes its overlay and its result. Returns whether to go on.
    fn handle(
        &mut self,
        decoded: Decoded<Input, Prepared>,
        overlay: &Overlay,
        interrupt: &Interrupt,
        printer: &Printer,
    ) -> anyhow::Result<bool> {
        let Decoded { input, result } = decoded;
        printer.image_warnings(|| &input.name, &input.warnings);
        let explained = match &result {
            Ok(prepared) => match self.explain(prepared, interrupt) {
                Ok(explanation) => Ok((prepared, explanation)),
                Err(ExplainError::Stopped) => return Ok(false),
                Err(ExplainError::NotFinite(error)) => Err(Failure::from(error)),
                Err(error) => return Err(error.into()),
            },
            Err(error) => Err(Failure::from_decoding(&input.name, error)),
        };
        match explained {
            Ok((prepared, explanation)) => self.write(&input.name, prepared, &explanation, overlay)?,
            Err(failure) => {
                printer.failure(&input.name, &failure.reason);
                self.results.failed(&input.name, &failure)?;
            }
        }
        std::io::Write::flush(&mut self.results.sink)?;
        Ok(true)
    }

    fn explain(&self, prepared: &Prepared, interrupt: &Interrupt) -> Result<Explanation, ExplainError> {
        let images = Images::new(&prepared.pixels, [1, 3, self.side, self.side])?;
        self.explainer
            .explain(images, self.classes, self.labels, &interrupt.flag())
    }

    fn write(
        &mut self,
        input: &str,
        prepared: &Prepared,
        explanation: &Explanation,
        overlay: &Overlay,
    ) -> anyhow::Result<()> {
        let method = self.explainer.method();
        overlay.write(&explanation.overlay(&prepared.photo, method)?)?;
        let raw = self
            .arguments
            .raw
            .and_then(|format| Some((format, overlay.raw_path(format)?)));
        if let Some((format, path)) = &raw {
            let place = (prepared.size, prepared.region);
            write(
                path,
                &raw::content(*format, (input, method.name()), place, explanation)?,
            )?;
        }
        self.results.explained(&Explained {
            input,
            file: self.file,
            method: method.name(),
            overlay: overlay.path().unwrap_or(Path::new("-")),
            raw: raw.as_ref().map(|(_, path)| &**path),
            region: prepared.region,
            predictions: &explanation.predictions,
        })
    }
}
