//! Writes the run folder: log, TensorBoard events, curves, confusion matrix and checkpoints. In a group, only the first
//! process has a [`Recorder`].

use std::path::{Path, PathBuf};

use effnet_data::metrics::Metrics;
use effnet_train::run::{EpochRecord, EventWriter, Log, Record, RunFolder, StepRecord};
use effnet_train::{Checkpointer, Snapshot};

/// The open files of a run.
pub(super) struct Recorder {
    pub(super) folder: RunFolder,
    pub(super) checkpointer: Checkpointer,
    pub(super) log: Log,
    pub(super) events: EventWriter,
    pub(super) history: Vec<EpochRecord>,
    /// The title of the curves.
    pub(super) title: String,
}

impl Recorder {
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn step(&mut self, record: StepRecord) -> anyhow::Result<()> {
        self.log.append(&Record::Step(record))?;
        let scalars = [("loss/training", record.loss), ("learning rate", record.lr)];
        Ok(self.events.scalars(record.step, &scalars)?)
    }

    /// Records the results of an epoch, and its confusion matrix if there is one.
    pub(super) fn epoch(
        &mut self,
        record: EpochRecord,
        images_per_second: f64,
        confusion: Option<(&Metrics, &[String])>,
    ) -> anyhow::Result<()> {
        self.history.push(record);
        self.log.append(&Record::Epoch(record))?;
        self.events
            .scalars(record.step, &scalars(&record, images_per_second))?;
        self.folder.write_curves(&self.title, &self.history)?;
        if let Some((metrics, classes)) = confusion {
            self.folder.write_confusion(metrics.confusion(), classes)?;
        }
        Ok(())
    }

    /// Saves a checkpoint, after syncing the log up to it; returns the file.
    pub(super) fn save(&mut self, mut snapshot: Snapshot, is_best: bool) -> anyhow::Result<Option<PathBuf>> {
        self.log.sync()?;
        let position = self.log.position().to_string();
        snapshot.notes.insert(LOG_POSITION.to_owned(), position);
        self.checkpointer.save(&snapshot, is_best)?;
        Ok(self.checkpointer.last_good())
    }
}

/// The checkpoint's note with the length of the log in bytes.
pub(super) const LOG_POSITION: &str = "log_position";

fn scalars(record: &EpochRecord, images_per_second: f64) -> Vec<(&'static str, f64)> {
    let mut scalars = vec![
        ("loss/training of the epoch", record.train_loss),
        ("speed/images per second", images_per_second),
    ];
    if let Some(summary) = &record.validation {
        scalars.extend([
            ("loss/validation", summary.loss),
            ("accuracy/top-1", summary.top1),
            ("accuracy/top-5", summary.top5),
            ("accuracy/calibration error", summary.ece),
        ]);
    }
    scalars
}
