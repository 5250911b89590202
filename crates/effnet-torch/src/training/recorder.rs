//! Writes the run folder, except for the checkpoints: log, TensorBoard events, curves and confusion matrix. In a group,
//! only the first process has a [`Recorder`].

use std::collections::BTreeMap;
use std::path::Path;

use effnet_data::metrics::ConfusionMatrix;
use effnet_train::run::{EpochRecord, EventWriter, Log, Record, RunFolder, StepRecord, history_panels};

use super::facts::{EpochTime, RUN, RunFacts};

/// The open files of a run.
pub(super) struct Recorder {
    pub(super) folder: RunFolder,
    pub(super) log: Log,
    pub(super) events: EventWriter,
    pub(super) history: Vec<EpochRecord>,
    pub(super) steps: Vec<StepRecord>,
    pub(super) facts: RunFacts,
    /// The number of classes.
    pub(super) classes: usize,
    /// The title of the curves.
    pub(super) title: String,
}

impl Recorder {
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn step(&mut self, record: StepRecord) -> anyhow::Result<()> {
        self.steps.push(record);
        self.log.append(&Record::Step(record))?;
        let scalars = [("loss/training", record.loss), ("learning rate", record.lr)];
        Ok(self.events.scalars(record.step, &scalars)?)
    }

    /// Records the results of an epoch, and its confusion matrix if there is one.
    pub(super) fn epoch(
        &mut self,
        record: EpochRecord,
        time: EpochTime,
        confusion: Option<(&ConfusionMatrix, &[String])>,
    ) -> anyhow::Result<()> {
        self.history.push(record);
        self.log.append(&Record::Epoch(record))?;
        self.events
            .scalars(record.step, &scalars(&record, self.classes, time))?;
        self.facts.add(time);
        self.folder.write_json(RUN, &self.facts)?;
        let panels = history_panels(&self.history, &self.steps, self.classes);
        self.folder
            .write_curves("curves.png", &self.title, "epoch", &panels)?;
        if let Some((confusion, classes)) = confusion {
            self.folder.write_confusion(confusion, classes)?;
        }
        Ok(())
    }

    /// Syncs the log, and notes its length for the checkpoint that is written next.
    pub(super) fn sync(&self, notes: &mut BTreeMap<String, String>) -> anyhow::Result<()> {
        self.log.sync()?;
        notes.insert(LOG_POSITION.to_owned(), self.log.position().to_string());
        Ok(())
    }
}

/// The note in a checkpoint that holds the length of the log in bytes.
pub(super) const LOG_POSITION: &str = "log_position";

fn scalars(record: &EpochRecord, classes: usize, time: EpochTime) -> Vec<(&'static str, f64)> {
    let mut scalars = vec![
        ("loss/training of the epoch", record.train_loss),
        ("speed/images per second", time.images_per_second),
        ("speed/seconds per epoch", time.seconds),
    ];
    if let Some(summary) = &record.validation {
        scalars.extend([
            ("loss/validation", summary.loss),
            ("accuracy/top-1", summary.top1),
            ("accuracy/calibration error", summary.ece),
        ]);
        scalars.extend(summary.top5_of(classes).map(|top5| ("accuracy/top-5", top5)));
    }
    scalars
}
