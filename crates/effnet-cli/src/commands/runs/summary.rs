//! What is compared of a run.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use effnet::Task;
use effnet_run::{Log, Record, RunFacts, RunFolder, Validation, best_epoch};
use serde::Serialize;
use serde_json::Value;

use crate::sink::SCHEMA;
use crate::training::recorded_split::settings_of_run;
use crate::training::settings::Settings;

/// Settings that have a column of their own.
const COLUMNS: [&str; 4] = ["task", "model", "image_size", "epochs"];

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Finished,
    StoppedEarly,
    /// It can be resumed.
    Interrupted,
    /// A process trains in the folder.
    Running,
    /// The folder cannot be read.
    Broken,
}

impl Status {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::StoppedEarly => "stopped early",
            Self::Interrupted => "interrupted",
            Self::Running => "running",
            Self::Broken => "broken",
        }
    }
}

/// A run, which is one line of JSON.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    schema: u32,
    pub(super) run: String,
    pub(super) status: Status,
    /// Why the folder cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    pub(super) task: Option<&'static str>,
    pub(super) network: Option<String>,
    pub(super) image_size: Option<u32>,
    pub(super) epochs: u64,
    pub(super) epochs_asked: Option<u32>,
    pub(super) best_epoch: Option<u64>,
    /// `top1`, `map` or `mae`.
    pub(super) metric: Option<&'static str>,
    pub(super) value: Option<f64>,
    pub(super) val_loss: Option<f64>,
    pub(super) seconds: Option<f64>,
    /// The settings that are not the same in all runs.
    pub(super) settings: BTreeMap<String, Value>,
}

impl Summary {
    /// Reads a run. A folder that cannot be read is a broken run.
    pub(super) fn read(folder: &Path) -> Self {
        let mut summary = Self {
            schema: SCHEMA,
            run: folder.display().to_string(),
            status: Status::Broken,
            error: None,
            task: None,
            network: None,
            image_size: None,
            epochs: 0,
            epochs_asked: None,
            best_epoch: None,
            metric: None,
            value: None,
            val_loss: None,
            seconds: None,
            settings: BTreeMap::new(),
        };
        if let Err(error) = summary.fill(folder) {
            // The settings are written last when a run starts.
            summary.status = if RunFolder::is_in_use(folder) {
                Status::Running
            } else {
                Status::Broken
            };
            let folder = format!("{}/", folder.display());
            summary.error = Some(format!("{error:#}").replace(&folder, ""));
        }
        summary
    }

    fn fill(&mut self, folder: &Path) -> anyhow::Result<()> {
        let settings = settings_of_run(folder)?;
        let epochs: Vec<_> = Log::read::<Record>(&folder.join("log.jsonl"))?
            .into_iter()
            .filter_map(Record::into_epoch)
            .collect();
        self.task = Some(match settings.task.task().unwrap_or_default() {
            Task::Classify => "classify",
            Task::MultiLabel => "multilabel",
            Task::Regression => "regression",
        });
        self.network = Some(settings.model.clone());
        self.image_size = settings.image_size.value();
        self.epochs_asked = Some(settings.epochs);
        self.epochs = epochs.last().map_or(0, |epoch| epoch.epoch);
        let best = best_epoch(&epochs);
        if let Some((best, validation)) = best.and_then(|best| Some((best, best.validation?))) {
            self.best_epoch = Some(best.epoch);
            self.val_loss = Some(validation.score().loss);
            (self.metric, self.value) = match validation {
                Validation::Classes(summary) => (Some("top1"), Some(summary.top1)),
                Validation::Labels(summary) => (Some("map"), summary.mean_average_precision),
                Validation::Values(summary) => (Some("mae"), Some(summary.mae)),
                _ => (None, None),
            };
        }
        let facts = RunFacts::read(folder)?;
        let seconds = facts.map(|facts| facts.epochs.iter().map(|epoch| epoch.seconds).sum());
        self.seconds = seconds.filter(|seconds| *seconds > 0.0);
        self.status = self.status_of(folder, &settings);
        if let Value::Object(settings) = serde_json::json!(settings) {
            self.settings = settings.into_iter().collect();
        }
        Ok(())
    }

    fn status_of(&self, folder: &Path, settings: &Settings) -> Status {
        let waited = self.best_epoch.map_or(0, |best| self.epochs - best);
        match () {
            () if RunFolder::is_in_use(folder) => Status::Running,
            () if self.epochs >= u64::from(settings.epochs) => Status::Finished,
            () if settings.patience > 0 && waited >= u64::from(settings.patience) => Status::StoppedEarly,
            () => Status::Interrupted,
        }
    }

    /// Compares runs by task, then by the metric and the loss, the best first; those without one are last.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let is_unknown = |run: &Self| run.value.is_none();
        let better = |run: &Self| {
            let value = run.value.unwrap_or_default();
            if run.metric == Some("mae") { -value } else { value }
        };
        let loss = |run: &Self| run.val_loss.unwrap_or(f64::INFINITY);
        is_unknown(self)
            .cmp(&is_unknown(other))
            .then_with(|| self.metric.cmp(&other.metric))
            .then_with(|| better(other).total_cmp(&better(self)))
            .then_with(|| loss(self).total_cmp(&loss(other)))
            .then_with(|| self.run.cmp(&other.run))
    }
}

/// Removes the settings that are the same in all runs, and those that have a column.
pub(super) fn keep_differing(runs: &mut [Summary]) {
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for run in runs.iter().filter(|run| !run.settings.is_empty()) {
        for (name, value) in &run.settings {
            values.entry(name.clone()).or_default().insert(value.to_string());
        }
    }
    let differs =
        |name: &str| !COLUMNS.contains(&name) && values.get(name).is_some_and(|values| values.len() > 1);
    for run in runs {
        run.settings.retain(|name, _| differs(name));
    }
}
