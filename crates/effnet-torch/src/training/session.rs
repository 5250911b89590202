//! Runs the epochs of a training run: steps, validation, checkpoints, early stopping and Ctrl-C.
//!
//! However it ends, it must leave a run folder that can be resumed. In a group, all processes must make the
//! same decisions after the same step; otherwise, one of them would wait for the others until the timeout.

use anyhow::Context;
use effnet_data::metrics::{ConfusionMatrix, Metrics};
use effnet_train::run::{EpochRecord, StepRecord};
use effnet_train::{Batch, Position, Snapshot, Trainer};
use serde::{Deserialize, Serialize};
use tch::Device;

use super::best::Best;
use super::data::TrainingData;
use super::epoch_line::line;
use super::facts::EpochTime;
use super::progress::TrainingProgress;
use super::ranks::Ranks;
use super::recorder::Recorder;
use super::uploads::Uploads;
use effnet_cli::Interrupt;
use effnet_cli::training::settings::Settings;

/// A training run in progress.
pub(super) struct Session<'p> {
    pub(super) settings: Settings,
    pub(super) data: TrainingData,
    pub(super) trainer: Trainer,
    /// The processes that train together.
    pub(super) ranks: &'p Ranks,
    /// Writes the run folder; only the first process has a recorder.
    pub(super) recorder: Option<Recorder>,
    /// The best epoch so far.
    pub(super) best: Option<Best>,
    /// The confusion matrix of the best epoch, unless the run has been resumed since then.
    pub(super) confusion: Option<ConfusionMatrix>,
    /// The SHA-256 of the teacher.
    pub(super) teacher: Option<String>,
    /// The learning rate of the last step.
    pub(super) rate: f64,
    pub(super) progress: TrainingProgress<'p>,
    pub(super) interrupt: Interrupt,
}

/// The batches of each step.
type Batches = Box<dyn Iterator<Item = anyhow::Result<Vec<Batch>>>>;

/// How a training run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ending {
    Finished,
    /// Validation did not improve for `patience` epochs.
    EarlyStopped,
    /// Ctrl-C stopped the run, after saving.
    Interrupted,
}

/// The result of work that Ctrl-C can interrupt.
enum Work<T> {
    Done(T),
    Interrupted,
}

impl Session<'_> {
    /// Trains until the last epoch, early stopping or Ctrl-C.
    pub(super) fn run(&mut self) -> anyhow::Result<Ending> {
        let ending = loop {
            if let Some(ending) = self.ending() {
                break ending;
            }
            match self.epoch()? {
                Work::Done(()) => {}
                Work::Interrupted => {
                    self.save(false)?;
                    break Ending::Interrupted;
                }
            }
        };
        self.progress.finish();
        self.ranks.finish()?;
        Ok(ending)
    }

    /// Returns how the training run ended, if nothing remains to be done.
    pub(super) fn ending(&self) -> Option<Ending> {
        if self.trainer.is_finished() && self.trainer.position().epoch_step == 0 {
            return Some(Ending::Finished);
        }
        self.should_stop_early().then_some(Ending::EarlyStopped)
    }

    fn should_stop_early(&self) -> bool {
        let patience = u64::from(self.settings.patience);
        let epoch = self.trainer.position().epoch;
        let waited = self.best.as_ref().map(|best| epoch - best.epoch);
        patience > 0 && waited.is_some_and(|waited| waited >= patience)
    }

    pub(super) fn steps_per_epoch(&self) -> u64 {
        self.data.steps_per_epoch(&self.settings)
    }

    /// Runs the rest of an epoch, and its validation.
    fn epoch(&mut self) -> anyhow::Result<Work<()>> {
        let position = self.trainer.position();
        let (epoch, epochs) = (position.epoch + 1, u64::from(self.settings.epochs));
        let steps = self.steps_per_epoch();
        self.progress
            .begin_epoch(epoch, epochs, steps, position.epoch_step);
        if let Work::Interrupted = self.steps(steps)? {
            return Ok(Work::Interrupted);
        }
        let images_per_second = self.progress.images_per_second();
        let Work::Done(metrics) = self.validate()? else {
            return Ok(Work::Interrupted);
        };
        let train_loss = self.trainer.end_epoch().unwrap_or(f64::NAN);
        let record = EpochRecord {
            epoch,
            step: self.trainer.position().step,
            lr: self.rate,
            train_loss,
            validation: metrics.as_ref().and_then(Metrics::summary),
        };
        let time = EpochTime {
            epoch,
            seconds: self.progress.seconds(),
            images_per_second,
        };
        self.finish_epoch(record, metrics.as_ref(), time)?;
        Ok(Work::Done(()))
    }

    /// Takes steps until the epoch has had `steps` steps.
    fn steps(&mut self, steps: u64) -> anyhow::Result<Work<()>> {
        let position = self.trainer.position();
        if position.epoch_step >= steps {
            return Ok(Work::Done(()));
        }
        for parts in self.batches(position)? {
            let parts = parts?;
            let step = self.trainer.step(&parts).map_err(explain)?;
            self.rate = step.rate;
            let loss = self.trainer.running_loss().mean().unwrap_or(step.loss);
            self.progress.step(step.images, loss, step.rate);
            let position = self.trainer.position();
            let is_due = |every: u32| every > 0 && position.step.is_multiple_of(u64::from(every));
            if is_due(self.settings.log_steps) {
                self.log_step(loss)?;
            }
            // After the last step of an epoch, `finish_epoch` saves the checkpoint.
            if is_due(self.settings.save_steps) && position.epoch_step < steps {
                self.save(false)?;
            }
            if self.is_interrupted()? {
                return Ok(Work::Interrupted);
            }
        }
        Ok(Work::Done(()))
    }

    /// Returns the batches of the remaining steps of an epoch.
    fn batches(&self, position: Position) -> anyhow::Result<Batches> {
        let steps = self
            .data
            .steps(&self.settings, position.epoch, position.epoch_step)?;
        Ok(match self.trainer.network().device() {
            Device::Cuda(device) => Box::new(Uploads::start(steps, device)?),
            _ => Box::new(steps.map(|parts| Ok(parts?))),
        })
    }

    /// Returns whether any process was interrupted, so that all of them stop after the same step.
    fn is_interrupted(&self) -> anyhow::Result<bool> {
        self.ranks.any(self.interrupt.is_set())
    }

    fn log_step(&mut self, loss: f64) -> anyhow::Result<()> {
        let position = self.trainer.position();
        let record = StepRecord {
            epoch: position.epoch + 1,
            step: position.step,
            lr: self.rate,
            loss,
        };
        match &mut self.recorder {
            Some(recorder) => recorder.step(record),
            None => Ok(()),
        }
    }

    /// Evaluates the network, or its EMA, on the validation images; `None` if there are none.
    fn validate(&self) -> anyhow::Result<Work<Option<Metrics>>> {
        if self.data.validation_images() == 0 {
            return Ok(Work::Done(None));
        }
        self.progress
            .begin_validation(self.data.validation_batches(&self.settings));
        let mut own = Metrics::new(self.data.classes().len());
        let is_done = self.measure(&mut own)?;
        if self.is_interrupted()? || !is_done {
            return Ok(Work::Interrupted);
        }
        let mut parts = self.ranks.gather(own)?.into_iter();
        let mut metrics = parts.next().context("no rank reported metrics")?;
        for part in parts {
            metrics.merge(&part)?;
        }
        Ok(Work::Done(Some(metrics)))
    }

    /// Evaluates this process's validation images; `false` if interrupted.
    fn measure(&self, metrics: &mut Metrics) -> anyhow::Result<bool> {
        let Some(mut batches) = self.data.validation(&self.settings)? else {
            return Ok(true);
        };
        for batch in batches.by_ref() {
            let batch = batch?;
            let logits = self.trainer.evaluate(&batch.images)?;
            effnet_train::measure(metrics, &logits, batch.targets.tensor())
                .with_context(|| self.validation_failed())?;
            self.progress.validated();
            if self.interrupt.is_set() {
                return Ok(false);
            }
        }
        for image in batches.unreadable() {
            self.progress.warn(&format!(
                "{}: skipped in validation: {}",
                image.name, image.reason
            ));
        }
        Ok(true)
    }

    fn validation_failed(&self) -> String {
        let position = self.trainer.position();
        let (step, epoch, rate) = (position.step, position.epoch + 1, self.rate);
        let last = self
            .recorder
            .as_ref()
            .and_then(|recorder| recorder.checkpointer.last_good());
        let last = last.map_or_else(
            || "no checkpoint has been saved yet".to_owned(),
            |path| format!("the last good checkpoint is {}", path.display()),
        );
        format!(
            "validation failed after step {step} (epoch {epoch}) with a learning rate of {rate:.3e}; {last}; if \
             numbers are not finite, try a lower learning rate"
        )
    }

    /// Records and saves the results of the epoch.
    fn finish_epoch(
        &mut self,
        record: EpochRecord,
        metrics: Option<&Metrics>,
        time: EpochTime,
    ) -> anyhow::Result<()> {
        let is_best = self.best.as_ref().is_none_or(|best| best.is_beaten_by(&record));
        if is_best {
            self.best = Some(Best::of(&record));
            self.confusion = metrics.map(|metrics| metrics.confusion().clone());
        }
        if let Some(recorder) = &mut self.recorder {
            let confusion = metrics
                .filter(|_| is_best)
                .map(|metrics| (metrics, self.data.classes()));
            recorder.epoch(record, time, confusion)?;
        }
        self.save(is_best)?;
        let classes = self.data.classes().len();
        self.progress
            .note(line(&record, self.settings.epochs, classes, time, is_best));
        Ok(())
    }

    /// Saves a checkpoint.
    pub(super) fn save(&mut self, is_best: bool) -> anyhow::Result<()> {
        let Some(recorder) = &mut self.recorder else {
            return Ok(());
        };
        let mut notes = self.best.map(Best::to_notes).unwrap_or_default();
        notes.insert(RATE.to_owned(), self.rate.to_string());
        if let Some(teacher) = &self.teacher {
            notes.insert(TEACHER.to_owned(), teacher.clone());
        }
        if self.ranks.count() > 1 {
            notes.insert(RANKS.to_owned(), self.ranks.describe());
        }
        let snapshot = Snapshot {
            trainer: self.trainer.state()?,
            best: self.best.as_ref().map(|best| best.top1),
            config: serde_json::to_value(&self.settings)?,
            notes,
        };
        if let Some(path) = recorder.save(snapshot, is_best)? {
            self.trainer.note_checkpoint(path);
        }
        Ok(())
    }
}

/// The note in a checkpoint that holds the learning rate of the last step.
pub(super) const RATE: &str = "rate";
/// The note in a checkpoint that holds the SHA-256 of the teacher, if there is one.
pub(super) const TEACHER: &str = "teacher";
/// The note in a checkpoint that holds the number of processes, if there is more than one.
pub(super) const RANKS: &str = "ranks";

/// Adds advice to an out-of-memory error.
pub(super) fn explain(error: effnet_train::Error) -> anyhow::Error {
    let out_of_memory = error.is_out_of_memory();
    let error = anyhow::Error::new(error);
    if out_of_memory {
        error
            .context("out of memory; try a smaller --batch-size with --accumulate, or a smaller --image-size")
    } else {
        error
    }
}
