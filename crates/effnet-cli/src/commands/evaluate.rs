//! `effnet evaluate`.

mod calibration;
mod classes;
mod data;
mod predictions;
mod reading;
mod report;
mod target_predictions;
mod targets;

use std::path::Path;
use std::sync::Arc;

use anyhow::{bail, ensure};
use effnet::{Labels, ModelFile, Task};
use effnet_data::{DataError, Dataset, Evaluation, EvaluationOptions};

use super::average::AVERAGED;
use crate::Outcome;
use crate::arguments::EvaluateArguments;
use crate::inference::Inference;
use crate::label_column::{of_label_column, passed_columns};
use crate::launcher::refuse_group;
use crate::printer::{Printer, counted};
use crate::torch::TorchCommands;
use crate::training::recorded_split::{held_out, settings_of_run};
use crate::training::settings::Settings;
pub(crate) use data::Labelled;
pub(crate) use targets::OutputColumns;

pub(crate) fn run(
    arguments: &EvaluateArguments,
    torch: Option<&dyn TorchCommands>,
    printer: &Printer,
) -> anyhow::Result<Outcome> {
    refuse_group("evaluate")?;
    calibration::check_output(arguments, printer)?;
    let opened = before_weights(arguments, printer)?;
    let inference = Inference::prepare_for(arguments.task.task(), &arguments.inference, torch, printer)?;
    let task = inference.file().task();
    let dataset = for_network(opened, inference.file(), arguments, printer)?;
    warn_of_moved_weights(inference.file(), arguments, printer);
    let (network, labels) = inference.load(printer)?;
    let evaluated = Evaluated {
        arguments,
        inference: &inference,
        labels: &labels,
        dataset: &dataset,
        printer,
    };
    match task {
        Task::Classify => classes::run(&evaluated, network),
        Task::MultiLabel | Task::Regression => targets::run(&evaluated, network),
    }
}

/// What is evaluated, on which images.
struct Evaluated<'a> {
    arguments: &'a EvaluateArguments,
    inference: &'a Inference,
    labels: &'a Labels,
    dataset: &'a Arc<dyn Dataset>,
    printer: &'a Printer,
}

/// Opens the images before weights are downloaded just to report a misspelt name. Returns `None` if the weights must be
/// read before, because they say which task the labels are for: without it, a table may be taken for one of another task,
/// or refused.
fn before_weights(arguments: &EvaluateArguments, printer: &Printer) -> anyhow::Result<Option<Opened>> {
    let task = arguments.task.task();
    let is_undecided = task.is_none() && arguments.data.exists();
    if is_undecided && local_weights(arguments).is_some() {
        return Ok(None);
    }
    match open(arguments, task, None, printer) {
        Err(error) if is_undecided && may_be_of_another_task(&error) => Ok(None),
        opened => opened.map(Some),
    }
}

/// Whether a table may be read for another task than the one for which it was refused.
fn may_be_of_another_task(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<DataError>();
    matches!(
        error,
        Some(
            DataError::Columns { .. }
                | DataError::Csv { .. }
                | DataError::SeveralLabels { .. }
                | DataError::Task { .. }
        )
    )
}

/// Returns the path of the weights, unless they are published ones.
fn local_weights(arguments: &EvaluateArguments) -> Option<&Path> {
    let weights = arguments.inference.network.model.weights.as_deref();
    weights.map(Path::new).filter(|weights| weights.exists())
}

/// Returns the images for the task of the network, and prints which they are.
fn for_network(
    opened: Option<Opened>,
    file: &ModelFile,
    arguments: &EvaluateArguments,
    printer: &Printer,
) -> anyhow::Result<Arc<dyn Dataset>> {
    let task = file.task();
    // The labels may be read in more than one way.
    let opened = match opened {
        Some(opened) if opened.images.task() == task => opened,
        _ => open(arguments, Some(task), None, printer)?,
    };
    let opened = by_labels_of(file, opened, arguments, printer);
    let dataset = opened.describe(arguments, printer);
    ensure!(
        dataset.task() == task,
        "--task {task}: the run was trained for {}, and so are its held-out images labelled; omit --task",
        dataset.task()
    );
    if task != Task::Classify && (arguments.confusion_csv.is_some() || arguments.confusion_png.is_some()) {
        bail!("--confusion-csv and --confusion-png: expected a network for classify, found one for {task}");
    }
    ensure!(
        task == Task::Classify || arguments.calibrate.is_none(),
        "--calibrate: expected a network for classify, found one for {task}"
    );
    Ok(dataset)
}

/// Opens the images once more by the network's labels, which tell whether spaces separate those of a table, if they may: they
/// have spaces, or the table has others. They have to be all that the table has.
fn by_labels_of(
    file: &ModelFile,
    opened: Opened,
    arguments: &EvaluateArguments,
    printer: &Printer,
) -> Opened {
    let labels = file.metadata.labels.as_ref();
    let Some(labels) = labels.filter(|_| file.task() == Task::MultiLabel && opened.evaluation.is_some())
    else {
        return opened;
    };
    let has_spaces = labels.iter().any(|label| label.contains(char::is_whitespace));
    if !has_spaces && opened.images.classes().iter().all(|class| labels.contains(class)) {
        return opened;
    }
    open(arguments, Some(Task::MultiLabel), Some(labels.clone()), printer).unwrap_or(opened)
}

/// The images to evaluate.
struct Opened {
    images: Arc<dyn Dataset>,
    /// How they were found, unless they are those that a run held out.
    evaluation: Option<Evaluation>,
}

impl Opened {
    /// Prints which images these are, and returns them.
    fn describe(self, arguments: &EvaluateArguments, printer: &Printer) -> Arc<dyn Dataset> {
        match &self.evaluation {
            Some(evaluation) => data::describe(&arguments.data, evaluation, printer),
            None => printer.note(format!(
                "evaluating the {} of this run (--all evaluates all images)",
                counted(self.images.len(), "held-out image")
            )),
        }
        self.images
    }
}

/// Opens the images to evaluate, for this task or for the one that their labels tell. If the weights' run was trained on
/// the data, these are the images that it held out.
fn open(
    arguments: &EvaluateArguments,
    task: Option<Task>,
    labels: Option<Vec<String>>,
    printer: &Printer,
) -> anyhow::Result<Opened> {
    let run = match local_weights(arguments) {
        Some(path) if path.is_dir() => Some(path),
        Some(path) if path.is_file() => path.parent(),
        _ => None,
    };
    let label_column = arguments.label_column.as_deref();
    let named = label_column.map(passed_columns).transpose()?;
    if let (Some(run), false) = (run, arguments.all || arguments.test)
        && let Some(images) = held_out(run, (&arguments.data, label_column), printer)?
    {
        return Ok(Opened {
            images,
            evaluation: None,
        });
    }
    let settings = run.and_then(|run| settings_of_run(run).ok());
    // The column by which the run grouped its images is not data.
    let group = settings.as_ref().and_then(Settings::grouping);
    let options = EvaluationOptions::default()
        .with_classes(labels)
        .with_task(task)
        .with_group_column(group.map(str::to_owned))
        .with_test(arguments.test);
    let evaluation = if let (Some(columns), Some(value)) = (named, label_column) {
        let opened = Evaluation::open(&arguments.data, &options.with_label_columns(columns));
        opened.map_err(|error| of_label_column(error, value))?
    } else {
        let of_run = settings.as_ref().map(Settings::label_columns).unwrap_or_default();
        Evaluation::open_like(&arguments.data, &options, &of_run)?
    };
    Ok(Opened {
        images: Arc::clone(&evaluation.images),
        evaluation: Some(evaluation),
    })
}

/// Warns about weights that were copied out of their run folder, because it is then unknown which images were held out.
fn warn_of_moved_weights(file: &ModelFile, arguments: &EvaluateArguments, printer: &Printer) {
    let metadata = file.checkpoint().metadata();
    let is_of_run = metadata.contains_key("step") || metadata.contains_key(AVERAGED);
    let has_run = file
        .path()
        .parent()
        .is_some_and(|folder| settings_of_run(folder).is_ok());
    if is_of_run && !has_run && !arguments.all && !arguments.test {
        printer.warning(format!(
            "{} comes from a training run, but is not in its run folder: if {} was trained on, training images are \
             evaluated too; pass the run folder with --weights to evaluate its held-out images",
            file.path().display(),
            arguments.data.display()
        ));
    }
}
