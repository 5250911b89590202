//! The file format of `last.state`: a safetensors file with the tensors of the weights, the EMA and the optimizer,
//! and everything else as JSON in its metadata. Unlike a pickle, it cannot execute code.

use std::collections::BTreeMap;
use std::path::Path;

use effnet_checkpoint::{Checkpoint, StateDict, write_safetensors};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, GradScaler, Position, RunningLoss, TrainerState};

/// The state of a trainer, and everything else that is needed to resume its run.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The trainer's state, from [`Trainer::state`](crate::Trainer::state).
    pub trainer: TrainerState,
    /// The best value so far of the metric that selects the best checkpoint.
    pub best: Option<f64>,
    /// The resolved settings of the run, which must be resumed with the same settings.
    pub config: Value,
    /// Any other state of the run, as strings.
    pub notes: BTreeMap<String, String>,
}

/// The metadata entry that holds [`Progress`].
const PROGRESS: &str = "effnet_training";
/// The version of the format. Increase it when an older reader would misread the new format.
const VERSION: u32 = 1;

/// The parts of a snapshot that are not tensors.
#[derive(Serialize, Deserialize)]
struct Progress {
    version: u32,
    position: Position,
    seed: u64,
    average_updates: Option<u64>,
    scaler: Option<GradScaler>,
    running_loss: RunningLoss,
    best: Option<f64>,
    /// Whether the weights are those of the best step so far.
    #[serde(default)]
    is_best: bool,
    config: Value,
    notes: BTreeMap<String, String>,
}

/// The sections of the file: prefixes of the tensors' names.
const WEIGHTS: &str = "weights";
const AVERAGE: &str = "average";
const OPTIMIZER: &str = "optimizer";

impl Snapshot {
    /// Writes the file. `is_best` tells whether these are the best weights so far.
    pub(crate) fn write(&self, path: &Path, is_best: bool) -> Result<(), effnet_checkpoint::WriteError> {
        let state = &self.trainer;
        let average = state.average.as_ref().map(|(_, weights)| weights);
        let mut tensors = StateDict::new();
        let sections = [
            (WEIGHTS, Some(&state.weights)),
            (AVERAGE, average),
            (OPTIMIZER, Some(&state.optimizer)),
        ];
        for (section, dict) in sections {
            for (name, tensor) in dict.into_iter().flat_map(StateDict::iter) {
                tensors.insert(format!("{section}/{name}"), tensor.clone());
            }
        }
        let progress = Progress {
            version: VERSION,
            position: state.position,
            seed: state.seed,
            average_updates: state.average.as_ref().map(|(updates, _)| *updates),
            scaler: state.scaler,
            running_loss: state.running_loss,
            best: self.best,
            is_best,
            config: self.config.clone(),
            notes: self.notes.clone(),
        };
        let progress = serde_json::json!(progress).to_string();
        write_safetensors(path, &tensors, &BTreeMap::from([(PROGRESS.to_owned(), progress)]))
    }

    /// Reads the file, and whether its weights are the best ones.
    pub(crate) fn read(path: &Path) -> Result<(Self, bool), Error> {
        let bad = |what: String| Error::BadCheckpoint {
            path: path.to_owned(),
            what,
        };
        let file = Checkpoint::open(path)?;
        let text = file
            .metadata()
            .get(PROGRESS)
            .ok_or_else(|| bad(format!("the metadata entry `{PROGRESS}` is missing")))?;
        let progress: Progress = serde_json::from_str(text)
            .map_err(|error| bad(format!("the metadata entry `{PROGRESS}` is invalid: {error}")))?;
        if progress.version != VERSION {
            return Err(bad(format!(
                "expected format version {VERSION}, found {}",
                progress.version
            )));
        }
        let mut sections: BTreeMap<String, StateDict> = BTreeMap::new();
        for (name, tensor) in file.into_state_dict() {
            let (section, own) = name
                .split_once('/')
                .ok_or_else(|| bad(format!("the tensor `{name}` does not belong to a section")))?;
            sections
                .entry(section.to_owned())
                .or_default()
                .insert(own, tensor);
        }
        let mut take = |section: &str| sections.remove(section).unwrap_or_default();
        let (weights, average, optimizer) = (take(WEIGHTS), take(AVERAGE), take(OPTIMIZER));
        if let Some(section) = sections.keys().next() {
            return Err(bad(format!("unknown section `{section}`")));
        }
        let snapshot = Self {
            trainer: TrainerState {
                position: progress.position,
                seed: progress.seed,
                weights,
                optimizer,
                average: progress.average_updates.map(|updates| (updates, average)),
                scaler: progress.scaler,
                running_loss: progress.running_loss,
            },
            best: progress.best,
            config: progress.config,
            notes: progress.notes,
        };
        Ok((snapshot, progress.is_best))
    }
}
