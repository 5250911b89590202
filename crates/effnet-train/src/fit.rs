//! [`fit`]: runs the epochs of a training run, with validation, checkpoints and early stopping.
//!
//! A run that is stopped at any moment must leave a checkpoint from which it can be resumed bit for bit. In a group,
//! all processes must make the same decisions after the same step; otherwise, one of them would wait for the others
//! until the timeout.

mod best;
mod frozen;
mod observer;
mod options;
mod prefetch;
mod validation;

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;
use tch::Device;
use torch_c10d::ProcessGroup;

pub use best::Best;
use frozen::Kept;
pub use observer::{EpochReport, EpochStart, Observer, StepReport};
pub use options::{Ending, FitOptions};
use prefetch::Uploads;

use crate::data::FitData;
use crate::{Batch, Checkpointer, Error, Measure, Network, Position, Snapshot, Trainer};

/// Trains until the last epoch, early stopping or an interruption, and returns the finished run.
///
/// Checkpoints and processes that train together need a [`Fit`].
///
/// # Errors
/// The errors of [`Fit::run`].
pub fn fit<N: Network, D: FitData, O: Observer<D::Metrics>>(
    trainer: Trainer<N>,
    data: D,
    options: FitOptions,
    observer: &mut O,
) -> Result<Fit<N, D>, O::Error> {
    let mut fit = Fit::new(trainer, data, options);
    fit.run(observer)?;
    Ok(fit)
}

/// A training run.
///
/// ```no_run
/// # fn example(trainer: effnet_train::Trainer, data: effnet_train::data::ImageBatches) -> Result<(), effnet_train::Error> {
/// use effnet::ModelMetadata;
/// use effnet_train::{Checkpointer, Fit, FitOptions};
///
/// let options = FitOptions::default().with_patience(5);
/// let checkpointer = Checkpointer::new("runs/1", ModelMetadata::default())?;
/// let settings = serde_json::json!({"learning_rate": 0.01});
/// let mut fit = Fit::new(trainer, data, options).with_checkpoints(checkpointer, settings);
/// fit.resume()?;
/// let ending = fit.run(&mut ())?;
/// println!("{ending:?}, best epoch {:?}", fit.best());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Fit<N, D> {
    trainer: Trainer<N>,
    data: D,
    options: FitOptions,
    /// The checkpoints, and the settings that a resumed run must have too.
    checkpoints: Option<(Checkpointer, Value)>,
    best: Option<Best>,
    /// The learning rate of the last step.
    rate: f64,
    pace: Pace,
    /// The features that do not change while only the head is trained.
    kept: Kept,
}

/// The batches of each step of an epoch.
type Steps = Box<dyn Iterator<Item = Result<Vec<Batch>, Error>>>;

/// The result of work that can be interrupted.
enum Work<T> {
    Done(T),
    Interrupted,
}

impl<N: Network, D: FitData> Fit<N, D> {
    /// Creates a run that starts where `trainer` is, and does not save any checkpoints.
    pub fn new(trainer: Trainer<N>, data: D, options: FitOptions) -> Self {
        Self {
            trainer,
            data,
            kept: Kept::new(options.feature_memory),
            options,
            checkpoints: None,
            best: None,
            rate: 0.0,
            pace: Pace::start(),
        }
    }

    /// Saves checkpoints, with the settings of the run. Of a group, only the first process does.
    #[must_use]
    pub fn with_checkpoints(mut self, checkpointer: Checkpointer, settings: Value) -> Self {
        self.save_to(checkpointer, settings);
        self
    }

    /// Like [`with_checkpoints`](Self::with_checkpoints), for a run that already exists.
    pub fn save_to(&mut self, checkpointer: Checkpointer, settings: Value) {
        if let Some(path) = checkpointer.last_good() {
            self.trainer.note_checkpoint(path);
        }
        self.checkpoints = Some((checkpointer, settings));
    }

    /// Continues from the last checkpoint, if there is one.
    ///
    /// # Errors
    /// The errors of [`Checkpointer::resume`] and of [`Trainer::restore`].
    pub fn resume(&mut self) -> Result<bool, Error> {
        let Some((checkpointer, settings)) = &self.checkpoints else {
            return Ok(false);
        };
        let Some(snapshot) = checkpointer.resume(settings, &[])? else {
            return Ok(false);
        };
        self.restore(&snapshot)?;
        Ok(true)
    }

    /// Continues from a snapshot.
    ///
    /// # Errors
    /// The errors of [`Trainer::restore`]; [`Error::StateMismatch`] if the snapshot is not that of a [`Fit`].
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<(), Error> {
        self.restore_notes(&snapshot.notes)?;
        self.trainer.restore(&snapshot.trainer)
    }

    /// Restores everything but the trainer from the notes of a snapshot. In a group, the processes without the
    /// checkpoint need its notes; [`Trainer::join`] gives them the rest.
    ///
    /// # Errors
    /// [`Error::StateMismatch`] if the notes are not those of a [`Fit`].
    pub fn restore_notes(&mut self, notes: &BTreeMap<String, String>) -> Result<(), Error> {
        let rate = notes.get(RATE).and_then(|rate| rate.parse().ok());
        self.rate = rate.ok_or_else(|| Error::StateMismatch {
            what: "the checkpoint",
            difference: format!("it has no usable `{RATE}`"),
        })?;
        self.best = Best::from_notes(notes);
        Ok(())
    }

    /// The trainer.
    pub fn trainer(&self) -> &Trainer<N> {
        &self.trainer
    }

    /// The trainer, for example to [join](Trainer::join) a group.
    pub fn trainer_mut(&mut self) -> &mut Trainer<N> {
        &mut self.trainer
    }

    /// Returns the trainer, which holds the trained network.
    pub fn into_trainer(self) -> Trainer<N> {
        self.trainer
    }

    /// The data.
    pub fn data(&self) -> &D {
        &self.data
    }

    /// The number of epochs that the trainer's phases last.
    pub fn epochs(&self) -> u64 {
        self.trainer
            .total_steps()
            .div_ceil(self.data.steps_per_epoch().max(1))
    }

    /// The best epoch so far.
    pub fn best(&self) -> Option<Best> {
        self.best
    }

    /// The learning rate of the last step; 0 before the first.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// The checkpoints, if this process saves any.
    pub fn checkpointer(&self) -> Option<&Checkpointer> {
        self.checkpoints.as_ref().map(|(checkpointer, _)| checkpointer)
    }

    /// Trains until the last epoch, early stopping or an interruption. After an interruption, the run is saved, and
    /// another call continues it.
    ///
    /// # Errors
    /// The errors of [`Trainer::step`], of the data, of the observer and of writing checkpoints;
    /// [`Error::Validation`].
    pub fn run<O: Observer<D::Metrics>>(&mut self, observer: &mut O) -> Result<Ending, O::Error> {
        let ending = loop {
            if let Some(ending) = self.ending() {
                break ending;
            }
            if let Work::Interrupted = self.epoch(observer)? {
                self.save(observer)?;
                break Ending::Interrupted;
            }
        };
        if let Some(group) = self.group() {
            // Otherwise, a process could mistake the exit of another for a failure.
            group.barrier().map_err(Error::from)?;
        }
        Ok(ending)
    }

    /// Returns how the run ended, if nothing remains to be done.
    pub fn ending(&self) -> Option<Ending> {
        let position = self.trainer.position();
        if self.trainer.is_finished() && position.epoch_step == 0 {
            return Some(Ending::Finished);
        }
        let patience = self.options.patience;
        let waited = self.best.map(|best| position.epoch - best.epoch);
        let is_over = patience > 0 && waited.is_some_and(|waited| waited >= patience);
        is_over.then_some(Ending::EarlyStopped)
    }

    fn group(&self) -> Option<&ProcessGroup> {
        self.trainer.group()
    }

    /// Runs the rest of an epoch, and its validation.
    fn epoch<O: Observer<D::Metrics>>(&mut self, observer: &mut O) -> Result<Work<()>, O::Error> {
        let position = self.trainer.position();
        let start = EpochStart {
            epoch: position.epoch + 1,
            epochs: self.epochs(),
            steps: self.data.steps_per_epoch(),
            done: position.epoch_step,
        };
        self.pace = Pace::start();
        observer.epoch_started(&start)?;
        self.kept.start_epoch(self.trainer.frozen_epoch(start.steps)?);
        if let Work::Interrupted = self.steps(start.steps, observer)? {
            return Ok(Work::Interrupted);
        }
        let images_per_second = self.pace.images_per_second();
        let Work::Done(metrics) = self.validate(observer)? else {
            return Ok(Work::Interrupted);
        };
        let train_loss = self.trainer.end_epoch().unwrap_or(f64::NAN);
        let score = metrics.as_ref().and_then(Measure::score);
        let is_best = self.best.is_none_or(|best| best.is_beaten_by(score));
        if is_best {
            self.best = Some(Best::new(start.epoch, score, train_loss));
        }
        observer.epoch_ended(&EpochReport {
            epoch: start.epoch,
            step: self.trainer.position().step,
            rate: self.rate,
            train_loss,
            metrics: metrics.as_ref(),
            is_best,
            seconds: self.pace.seconds(),
            images_per_second,
        })?;
        self.save_as(is_best, observer)?;
        Ok(Work::Done(()))
    }

    /// Takes steps until the epoch has had `steps` steps.
    fn steps<O: Observer<D::Metrics>>(&mut self, steps: u64, observer: &mut O) -> Result<Work<()>, O::Error> {
        let position = self.trainer.position();
        if position.epoch_step >= steps {
            return Ok(Work::Done(()));
        }
        for parts in self.batches(position)? {
            let step = self.trainer.step(&parts?)?;
            self.rate = step.rate;
            self.pace.images += step.images;
            let position = self.trainer.position();
            observer.step(&StepReport {
                position,
                images: step.images,
                loss: self.trainer.running_loss().mean().unwrap_or(step.loss),
                rate: step.rate,
                images_per_second: self.pace.images_per_second(),
            })?;
            let every = self.options.save_steps;
            // After the last step of an epoch, the checkpoint of the epoch is saved.
            if every > 0 && position.step.is_multiple_of(every) && position.epoch_step < steps {
                self.save(observer)?;
            }
            if self.is_interrupted(observer)? {
                return Ok(Work::Interrupted);
            }
        }
        Ok(Work::Done(()))
    }

    /// Returns the batches of the remaining steps of an epoch, on the device if it is a CUDA device.
    fn batches(&self, position: Position) -> Result<Steps, Error> {
        let (epoch, first) = (position.epoch, position.epoch_step);
        let steps = match self.kept.training() {
            Some(cache) => self.data.head_steps(epoch, first, cache)?,
            None => self.data.steps(epoch, first)?,
        };
        Ok(match self.trainer.network().device() {
            Device::Cuda(device) => Box::new(Uploads::start(steps, device)?),
            _ => Box::new(steps),
        })
    }

    /// Returns whether any process was interrupted, so that all of them stop after the same step.
    fn is_interrupted<O: Observer<D::Metrics>>(&self, observer: &O) -> Result<bool, Error> {
        let own = observer.is_interrupted();
        match self.group() {
            Some(group) => Ok(group.any(own)?),
            None => Ok(own),
        }
    }

    /// Saves a checkpoint, if this process saves any.
    ///
    /// # Errors
    /// [`Error::Write`], and the errors of the observer.
    pub fn save<O: Observer<D::Metrics>>(&mut self, observer: &mut O) -> Result<(), O::Error> {
        self.save_as(false, observer)
    }

    fn save_as<O: Observer<D::Metrics>>(&mut self, is_best: bool, observer: &mut O) -> Result<(), O::Error> {
        let Some((checkpointer, settings)) = &mut self.checkpoints else {
            return Ok(());
        };
        let mut notes = self.best.map(Best::to_notes).unwrap_or_default();
        notes.insert(RATE.to_owned(), self.rate.to_string());
        let trainer = self.trainer.state()?;
        observer.saving(&mut notes)?;
        let snapshot = Snapshot {
            trainer,
            best: self.best.map(|best| best.score.value),
            config: settings.clone(),
            notes,
        };
        checkpointer.save(&snapshot, is_best)?;
        if let Some(path) = checkpointer.last_good() {
            self.trainer.note_checkpoint(path);
        }
        Ok(())
    }
}

/// The note in a checkpoint that holds the learning rate of the last step.
const RATE: &str = "rate";

/// How fast an epoch is trained.
#[derive(Debug)]
struct Pace {
    begin: Instant,
    images: u64,
}

impl Pace {
    fn start() -> Self {
        Self {
            begin: Instant::now(),
            images: 0,
        }
    }

    fn seconds(&self) -> f64 {
        self.begin.elapsed().as_secs_f64()
    }

    fn images_per_second(&self) -> f64 {
        self.images as f64 / self.seconds().max(1e-9)
    }
}
