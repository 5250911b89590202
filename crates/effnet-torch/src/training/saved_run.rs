//! A run to be resumed: its last checkpoint, checked against the settings and the images of this start.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use effnet_cli::training::recorded_split::{RecordedSplit, SPLIT_FILE};
use effnet_cli::training::settings::Settings;
use effnet_train::data::FitData as _;
use effnet_train::run::{EventWriter, Log, Record, RunFacts, RunFolder};
use effnet_train::{Checkpointer, Snapshot};
use serde_json::Value;

use super::continuation::{COMPARED, Comparison, Continuation};
use super::data::TrainingData;
use super::initial_model::InitialModel;
use super::recorder::{LOG_POSITION, Recorder};
use super::session::Session;

/// Settings that may differ when a run is resumed, because they do not change what it computes. The images
/// and the teacher may have moved; their contents are compared to check that they are the same.
pub(super) const FREE: [&str; 6] = ["data", "val", "workers", "save_steps", "report", "teacher"];

/// A run to resume.
pub(super) struct SavedRun {
    pub(super) folder: RunFolder,
    checkpointer: Checkpointer,
    pub(super) snapshot: Snapshot,
    /// The epochs that train only a new classifier; see [`Continuation::of`].
    pub(super) head_epochs: u32,
    /// What it has more of than before.
    pub(super) continuation: Option<Continuation>,
}

impl SavedRun {
    /// Reads the last checkpoint, and checks that the images and settings are those of the run.
    pub(super) fn open(
        folder: RunFolder,
        settings: &Settings,
        data: &TrainingData,
        model: &InitialModel,
    ) -> anyhow::Result<Self> {
        ensure!(
            data.recorded_split(settings)
                .is_same(&folder.read_json::<RecordedSplit>(SPLIT_FILE)?),
            "{}: the images or their labels differ from those with which the run {} was started; to train on them, \
             start a new run and pass the weights of the old run with --weights",
            settings.data.display(),
            folder.path().display()
        );
        let mut checkpointer =
            Checkpointer::new(folder.path(), model.metadata(data.classes(), data.scale()))?;
        // Settings newer than the checkpoint get their defaults, as in config.json.
        if let Value::Object(defaults) = serde_json::json!(Settings::of_train()) {
            checkpointer = checkpointer.with_defaults(defaults);
        }
        let resume = |free: &[&str]| -> anyhow::Result<Snapshot> {
            let snapshot = checkpointer.resume(&serde_json::to_value(settings)?, free)?;
            snapshot.with_context(|| format!("{}: no checkpoint to resume from", folder.path().display()))
        };
        let snapshot = resume(&[&FREE[..], &COMPARED].concat())?;
        let mut settings = settings.clone();
        let saved = serde_json::from_value(snapshot.config.clone())?;
        let continuation = match Continuation::of(&mut settings, &saved, folder.path())? {
            Comparison::Same => None,
            Comparison::Continues(continuation) => Some(continuation),
            Comparison::Differs => {
                // Names the settings.
                resume(&FREE)?;
                None
            }
        };
        Ok(Self {
            folder,
            checkpointer,
            snapshot,
            head_epochs: settings.head_epochs,
            continuation,
        })
    }

    /// Returns the line that says where the run is resumed.
    pub(super) fn describe(&self, session: &Session<'_>) -> String {
        let position = session.fit.trainer().position();
        let steps = session.fit.data().steps_per_epoch();
        // A checkpoint after the last step of an epoch counts as the start of the next one.
        let (epoch, step) = if position.epoch_step < steps {
            (position.epoch, position.epoch_step)
        } else {
            (position.epoch + 1, 0)
        };
        format!(
            "resuming {}: epoch {}/{}, step {}/{steps}",
            self.folder.path().display(),
            epoch + 1,
            session.settings.epochs,
            step + 1,
        )
    }

    /// Returns the lines that say what the run has more of than before.
    pub(super) fn describe_continuation(&self, session: &Session<'_>) -> Vec<String> {
        let rates = [session.fit.rate(), session.fit.trainer().rate()];
        let lines = self
            .continuation
            .map(|continuation| continuation.lines(&session.settings, rates));
        lines.unwrap_or_default()
    }

    /// Reopens the files of the run, truncated to their state at the checkpoint. Also returns its checkpoints.
    pub(super) fn recorder(
        self,
        title: String,
        classes: usize,
        facts: RunFacts,
    ) -> anyhow::Result<(Recorder, Checkpointer)> {
        let step = self.snapshot.trainer.position.step;
        // TensorBoard drops earlier events from the first step of a new file on, so keep the events of the
        // last step.
        let first_step = if step == 0 { 0 } else { step + 1 };
        let log = Log::resume(self.folder.log(), note(&self.snapshot.notes, LOG_POSITION)?)?;
        let (mut history, mut steps) = (Vec::new(), Vec::new());
        for record in Log::read(&self.folder.log())? {
            match record {
                Record::Epoch(record) => history.push(record),
                Record::Step(record) => steps.push(record),
            }
        }
        facts.write(&self.folder)?;
        if !history.is_empty() {
            // It may hold an epoch after the checkpoint.
            self.folder.write_results(&history, &facts.epochs)?;
        }
        let recorder = Recorder {
            events: EventWriter::create(self.folder.path(), first_step)?,
            history,
            steps,
            facts,
            classes,
            folder: self.folder,
            log,
            title,
        };
        Ok((recorder, self.checkpointer))
    }
}

/// Returns a value from the notes of a checkpoint.
fn note<T: std::str::FromStr>(notes: &BTreeMap<String, String>, name: &str) -> anyhow::Result<T> {
    let value = notes.get(name).and_then(|text| text.parse().ok());
    value.with_context(|| format!("the checkpoint has no usable `{name}`"))
}
