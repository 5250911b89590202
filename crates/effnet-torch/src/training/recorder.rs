//! Writes the run folder, except for the checkpoints: log, TensorBoard events, curves and confusion matrix. In a group,
//! only the first process has a [`Recorder`].

use std::collections::BTreeMap;
use std::path::Path;

use effnet_train::run::{
    EpochRecord, EpochTime, EventWriter, Log, Record, RunFacts, RunFolder, StepRecord, Validation,
    history_panels, ranking_panels, scatter_panels,
};

use super::task_metrics::TaskMetrics;

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

    /// Records the results of an epoch. For the best epoch, `best` has its metrics, of which plots are drawn, with the
    /// names of the classes and the scale of the values.
    pub(super) fn epoch(
        &mut self,
        record: EpochRecord,
        time: EpochTime,
        best: Option<Best<'_>>,
    ) -> anyhow::Result<()> {
        self.history.push(record);
        self.log.append(&Record::Epoch(record))?;
        self.events
            .scalars(record.step, &scalars(&record, self.classes, time))?;
        self.facts.epochs.push(time);
        self.facts.write(&self.folder)?;
        self.folder.write_results(&self.history, &self.facts.epochs)?;
        let panels = history_panels(&self.history, &self.steps, self.classes);
        self.folder
            .write_curves("curves.png", &self.title, "epoch", &panels)?;
        match best {
            Some((TaskMetrics::Classes(metrics), classes, _)) => {
                self.folder.write_confusion(metrics.confusion(), classes)?;
            }
            Some((TaskMetrics::Labels(metrics), classes, _)) => {
                let panels = ranking_panels(metrics, classes);
                let title = &self.title;
                self.folder
                    .write_curves("precision-recall.png", title, "recall", &panels[..1])?;
                self.folder
                    .write_curves("roc.png", title, "false positive rate", &panels[1..])?;
            }
            Some((TaskMetrics::Values(_, pairs), classes, scale)) => {
                let panels = scatter_panels(pairs, classes, scale);
                self.folder
                    .write_curves("scatter.png", &self.title, "true value", &panels)?;
            }
            None => {}
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

/// The metrics of the best epoch, the names of its classes or values, and the scale of its values.
pub(super) type Best<'a> = (&'a TaskMetrics, &'a [String], Option<&'a [Vec<f64>; 2]>);

fn scalars(record: &EpochRecord, classes: usize, time: EpochTime) -> Vec<(&'static str, f64)> {
    let mut scalars = vec![
        ("loss/training of the epoch", record.train_loss),
        ("speed/images per second", time.images_per_second),
        ("speed/seconds per epoch", time.seconds),
    ];
    match &record.validation {
        Some(Validation::Classes(summary)) => {
            scalars.extend([
                ("loss/validation", summary.loss),
                ("accuracy/top-1", summary.top1),
                ("accuracy/calibration error", summary.ece),
            ]);
            scalars.extend(summary.top5_of(classes).map(|top5| ("accuracy/top-5", top5)));
        }
        Some(Validation::Labels(summary)) => {
            scalars.push(("loss/validation", summary.loss));
            let precision = summary.mean_average_precision;
            scalars.extend(precision.map(|precision| ("accuracy/mAP", precision)));
            scalars.extend(summary.micro_f1.map(|f1| ("accuracy/micro F1", f1)));
        }
        Some(Validation::Values(summary)) => {
            scalars.extend([("loss/validation", summary.mse), ("error/MAE", summary.mae)]);
            scalars.extend(summary.r2.map(|r2| ("error/R2", r2)));
        }
        _ => {}
    }
    scalars
}
