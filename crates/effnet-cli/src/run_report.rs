//! `report.html` and `mistakes.html`: the pages that explain a training run.
//!
//! They are made from the run folder alone, by evaluating its best weights on the images that it held out. So the end of a
//! training run, a resumed run, an interrupted one and a run of an earlier version all get the same pages, and training
//! need not keep what the network said about each image.

mod gallery;
mod measured;
mod mistakes;
mod plots;
mod report;
mod settings;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use effnet::{ModelFile, ModelOptions, PreprocessingOverrides, Zoo, transform};
use effnet_data::{DataOptions, Dataset, Evaluation, EvaluationOptions, Splits, replace_file};
use effnet_run::{EpochRecord, Log, Record, RunFacts, StepRecord};
use std::io::Write as _;

use crate::arguments::ExecutionArguments;
use crate::execution::Execution;
use crate::inference::load;
use crate::interrupt::Interrupt;
use crate::printer::{Printer, counted};
use crate::torch::TorchCommands;
use crate::training::recorded_split::{held_out, settings_of_run};
use crate::training::settings::Settings;
use crate::{DownloadProgress, Outcome};
use measured::Measured;

/// The page about the run.
pub const REPORT: &str = "report.html";
/// The page with the images that the network takes for something else.
const MISTAKES: &str = "mistakes.html";

/// What a run folder says about its run.
struct Run<'a> {
    folder: &'a Path,
    settings: Settings,
    epochs: Vec<EpochRecord>,
    steps: Vec<StepRecord>,
    facts: Option<RunFacts>,
}

impl<'a> Run<'a> {
    fn open(folder: &'a Path) -> anyhow::Result<Self> {
        let settings = settings_of_run(folder)
            .with_context(|| format!("{}: expected a run folder", folder.display()))?;
        let (mut epochs, mut steps) = (Vec::new(), Vec::new());
        for record in Log::read(&folder.join("log.jsonl"))? {
            match record {
                Record::Epoch(record) => epochs.push(record),
                Record::Step(record) => steps.push(record),
            }
        }
        ensure!(
            !epochs.is_empty(),
            "{}: no epoch has ended yet; write the report after the first one",
            folder.display()
        );
        Ok(Self {
            folder,
            settings,
            epochs,
            steps,
            facts: RunFacts::read(folder)?,
        })
    }

    /// Returns the name of the run, without the folders around it.
    fn name(&self) -> String {
        let absolute = std::path::absolute(self.folder);
        let absolute = absolute.as_deref().unwrap_or(self.folder);
        let name = absolute.file_name().unwrap_or(absolute.as_os_str());
        name.to_string_lossy().into_owned()
    }

    /// Returns the path of the data set with the validation images as captions leave it out.
    fn data(&self) -> String {
        self.settings.data_of_validation().display().to_string()
    }

    /// Returns the images that validate the run, if there are any.
    fn validation_images(&self, printer: &Printer) -> anyhow::Result<Option<Arc<dyn Dataset>>> {
        let data = self.settings.data_of_validation();
        ensure!(
            data.exists(),
            "{}: the images of the run are not there any more; restore them, or move them back",
            data.display()
        );
        if let Some(images) = held_out(self.folder, (data, None), printer)? {
            return Ok(Some(images));
        }
        let task = self.settings.task.task().unwrap_or_default();
        let is_other = self.settings.validation_data().is_some();
        let columns = self.settings.label_columns();
        let of_run = DataOptions::default()
            .with_task(task)
            .with_label_columns(columns.clone());
        if !is_other && Splits::open_with(data, &of_run)?.val.is_none() {
            return Ok(None);
        }
        let options = EvaluationOptions::default()
            .with_task(task)
            .with_group_column(self.settings.grouping().map(str::to_owned));
        let evaluation = Evaluation::open_like(data, &options, &columns)?;
        Ok(Some(evaluation.images))
    }
}

/// Writes the pages into the folder of a run. `torch` runs the network on a device that only libtorch has.
///
/// # Errors
/// If the run, its weights or its images cannot be read, or if the pages cannot be written.
pub fn write_report(
    folder: &Path,
    execution: &ExecutionArguments,
    zoo: &Zoo,
    torch: Option<&dyn TorchCommands>,
    interrupt: &Interrupt,
    printer: &Printer,
) -> anyhow::Result<Outcome> {
    let run = Run::open(folder)?;
    let execution = Execution::prepare(execution, torch, printer)?;
    let mut progress = DownloadProgress::new(printer);
    let weights = zoo.locate_one(folder, &mut progress)?;
    drop(progress);
    let file = ModelFile::open(weights, &ModelOptions::default())?;
    let measured = match run.validation_images(printer)? {
        None => None,
        Some(images) => {
            let transform = transform(&PreprocessingOverrides::default(), &file, &zoo.manifest)?;
            let labels = file.labels(None)?.unwrap_or_else(|| file.numbered_labels());
            let network = load(&file, false, &execution, printer)?;
            printer.note(format!(
                "writing {REPORT} from the {}",
                counted(images.len(), "validation image")
            ));
            let measured = Measured::new(&images, labels)?;
            let measured = measured.run(&execution, network, transform, interrupt, printer)?;
            match measured {
                Some(measured) => Some(measured),
                None => return Ok(Outcome::Interrupted),
            }
        }
    };
    let write =
        |name: &str, page: &str| replace_file(&folder.join(name), |file| file.write_all(page.as_bytes()));
    if let Some(measured) = &measured {
        write(MISTAKES, &gallery::render(&run, measured)?)?;
    }
    write(
        REPORT,
        &report::render(&run, file.variant.name(), measured.as_ref())?,
    )?;
    Ok(Outcome::Done)
}
