//! A training run in progress, and what it reports to the user and to the run folder.
//!
//! effnet-train's `Fit` runs the epochs. [`Watcher`] is its observer: it draws the progress bars, writes the run folder
//! and passes on Ctrl-C. However a run ends, it must leave a run folder that can be resumed.

use std::collections::BTreeMap;

use effnet_core::EfficientNet;
use effnet_data::Unreadable;
use effnet_train::data::ImageBatches;
use effnet_train::run::{EpochRecord, EpochTime, StepRecord};
use effnet_train::{Ending, EpochReport, EpochStart, Fit, Observer, StepReport, THRESHOLDS};

use super::data::TrainingData;
use super::epoch_table::EpochTable;
use super::progress::TrainingProgress;
use super::ranks::Ranks;
use super::recorder::Recorder;
use super::task_metrics::TaskMetrics;
use effnet_cli::Interrupt;
use effnet_cli::training::settings::Settings;

/// A training run in progress.
pub(super) struct Session<'p> {
    pub(super) settings: Settings,
    pub(super) data: TrainingData,
    pub(super) fit: Fit<EfficientNet, ImageBatches<TaskMetrics>>,
    pub(super) watcher: Watcher<'p>,
}

impl Session<'_> {
    /// Trains until the last epoch, early stopping or Ctrl-C.
    pub(super) fn run(&mut self) -> anyhow::Result<Ending> {
        let ending = self.fit.run(&mut self.watcher).map_err(explain)?;
        self.watcher.progress.finish();
        Ok(ending)
    }
}

/// Shows and records a training run.
pub(super) struct Watcher<'p> {
    pub(super) progress: TrainingProgress<'p>,
    pub(super) interrupt: Interrupt,
    /// The processes that train together.
    pub(super) ranks: &'p Ranks,
    /// Writes the run folder; only the first process has a recorder.
    pub(super) recorder: Option<Recorder>,
    /// The metrics of the best epoch, unless the run has been resumed since then.
    pub(super) best: Option<TaskMetrics>,
    /// The mean and the standard deviation of each value of regression.
    pub(super) scale: Option<[Vec<f64>; 2]>,
    /// The probability from which each label applies, chosen after the last epoch: a JSON list.
    pub(super) thresholds: Option<String>,
    /// The SHA-256 of the teacher.
    pub(super) teacher: Option<String>,
    /// The names of the classes.
    pub(super) classes: Vec<String>,
    pub(super) table: EpochTable,
    /// The part of the current epoch that this process trains, which is less than 1 if it was resumed.
    pub(super) part: f64,
    /// Steps between two records in the log; 0 for none.
    pub(super) log_steps: u32,
}

impl Observer<TaskMetrics> for Watcher<'_> {
    type Error = anyhow::Error;

    fn epoch_started(&mut self, epoch: &EpochStart) -> anyhow::Result<()> {
        let steps = epoch.steps.max(1) as f64;
        self.part = (steps - epoch.done as f64).max(1.0) / steps;
        self.progress
            .begin_epoch(epoch.epoch, epoch.epochs, epoch.steps, epoch.done);
        Ok(())
    }

    fn step(&mut self, step: &StepReport) -> anyhow::Result<()> {
        self.progress.step(step);
        let number = step.position.step;
        let is_due = self.log_steps > 0 && number.is_multiple_of(u64::from(self.log_steps));
        match &mut self.recorder {
            Some(recorder) if is_due => recorder.step(StepRecord {
                epoch: step.position.epoch + 1,
                step: number,
                lr: step.rate,
                loss: step.loss,
            }),
            _ => Ok(()),
        }
    }

    fn validation_started(&mut self, batches: u64) -> anyhow::Result<()> {
        self.progress.begin_validation(batches);
        Ok(())
    }

    fn validated(&mut self) -> anyhow::Result<()> {
        self.progress.validated();
        Ok(())
    }

    fn unreadable(&mut self, image: &Unreadable) -> anyhow::Result<()> {
        let Unreadable { name, reason, .. } = image;
        self.progress
            .warn(&format!("{name}: skipped in validation: {reason}"));
        Ok(())
    }

    fn epoch_ended(&mut self, epoch: &EpochReport<'_, TaskMetrics>) -> anyhow::Result<()> {
        let record = EpochRecord {
            epoch: epoch.epoch,
            step: epoch.step,
            lr: epoch.rate,
            train_loss: epoch.train_loss,
            validation: epoch
                .metrics
                .and_then(|metrics| metrics.validation(self.scale.as_ref())),
            best: epoch.is_best,
        };
        let time = EpochTime {
            epoch: epoch.epoch,
            seconds: epoch.seconds,
            images_per_second: epoch.images_per_second,
        };
        let thresholds = epoch.metrics.and_then(TaskMetrics::thresholds);
        self.thresholds = thresholds.map(|thresholds| serde_json::json!(thresholds).to_string());
        if epoch.is_best {
            self.best = epoch.metrics.cloned();
        }
        if let Some(recorder) = &mut self.recorder {
            let best = self.best.as_ref().filter(|_| epoch.is_best);
            let scale = self.scale.as_ref();
            recorder.epoch(record, time, best.map(|best| (best, &*self.classes, scale)))?;
        }
        for line in self.table.lines(&record, time, self.part, epoch.is_best) {
            self.progress.note(line);
        }
        Ok(())
    }

    fn saving(&mut self, notes: &mut BTreeMap<String, String>) -> anyhow::Result<()> {
        if let Some(teacher) = &self.teacher {
            notes.insert(TEACHER.to_owned(), teacher.clone());
        }
        if let Some(thresholds) = &self.thresholds {
            notes.insert(THRESHOLDS.to_owned(), thresholds.clone());
        }
        if self.ranks.count() > 1 {
            notes.insert(RANKS.to_owned(), self.ranks.describe());
        }
        match &self.recorder {
            Some(recorder) => recorder.sync(notes),
            None => Ok(()),
        }
    }

    fn is_interrupted(&self) -> bool {
        self.interrupt.is_set()
    }
}

/// The note in a checkpoint that holds the SHA-256 of the teacher, if there is one.
pub(super) const TEACHER: &str = "teacher";
/// The note in a checkpoint that holds the number of processes, if there is more than one.
pub(super) const RANKS: &str = "ranks";

/// Adds advice to an out-of-memory error.
fn explain(error: anyhow::Error) -> anyhow::Error {
    let is_of_memory = error
        .downcast_ref::<effnet_train::Error>()
        .is_some_and(effnet_train::Error::is_out_of_memory);
    if is_of_memory {
        error
            .context("out of memory; try a smaller --batch-size with --accumulate, or a smaller --image-size")
    } else {
        error
    }
}
