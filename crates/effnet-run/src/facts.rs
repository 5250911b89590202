//! The contents of `run.json`: what a run was computed with, and how long each epoch took.
//!
//! A result can be explained, or reproduced on another machine, only if the device, the precision and the versions are
//! known. `log.jsonl` contains neither these nor any wall-clock time, so that equal runs write equal logs.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{RunError, RunFolder};

/// The name of the file in the run folder.
const RUN: &str = "run.json";

/// What a run computes with, from one start to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunStart {
    /// The number of steps taken before this start.
    pub after_step: u64,
    /// Seconds since 1970.
    pub unix_time: u64,
    /// The version of effnet.
    pub effnet: String,
    /// The version of libtorch.
    pub libtorch: String,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Compute threads per process.
    pub threads: usize,
    /// Processes that train together.
    pub processes: usize,
    /// The precision in use, never `auto`.
    pub precision: String,
}

impl RunStart {
    /// Creates the description of a start on this device, with this precision.
    pub fn new(device: impl Into<String>, precision: impl Into<String>) -> Self {
        Self {
            after_step: 0,
            unix_time: 0,
            effnet: String::new(),
            libtorch: String::new(),
            device: device.into(),
            threads: 1,
            processes: 1,
            precision: precision.into(),
        }
    }

    /// Sets [`after_step`](Self::after_step) and [`unix_time`](Self::unix_time).
    #[must_use]
    pub fn with_time(mut self, after_step: u64, unix_time: u64) -> Self {
        (self.after_step, self.unix_time) = (after_step, unix_time);
        self
    }

    /// Sets [`effnet`](Self::effnet) and [`libtorch`](Self::libtorch).
    #[must_use]
    pub fn with_versions(mut self, effnet: impl Into<String>, libtorch: impl Into<String>) -> Self {
        (self.effnet, self.libtorch) = (effnet.into(), libtorch.into());
        self
    }

    /// Sets [`threads`](Self::threads) and [`processes`](Self::processes).
    #[must_use]
    pub fn with_threads(mut self, threads: usize, processes: usize) -> Self {
        (self.threads, self.processes) = (threads, processes);
        self
    }

    /// Describes the start: `cpu, 2 threads, fp32; effnet 0.1.0, libtorch 2.11.0`.
    pub fn describe(&self) -> String {
        let threads = match self.threads {
            1 => "1 thread".to_owned(),
            count => format!("{count} threads"),
        };
        let processes = match self.processes {
            1 => String::new(),
            count => format!(", {count} processes"),
        };
        format!(
            "{}, {threads}{processes}, {}; effnet {}, libtorch {}",
            self.device, self.precision, self.effnet, self.libtorch
        )
    }
}

/// The wall-clock time of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochTime {
    /// The number of the epoch, starting from 1.
    pub epoch: u64,
    /// Seconds of training and validation. For an epoch that was resumed, only the time since then counts.
    pub seconds: f64,
    /// Training images per second.
    pub images_per_second: f64,
}

/// The contents of `run.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunFacts {
    /// `train` or `finetune`; unknown for a run of an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The number of parameters, trained or frozen, without buffers.
    pub parameters: u64,
    /// The random seed.
    pub seed: u64,
    /// The first start, and each time the run was resumed.
    pub starts: Vec<RunStart>,
    /// The time of each epoch so far.
    pub epochs: Vec<EpochTime>,
}

impl RunFacts {
    /// Creates the facts of a new run of `command`.
    pub fn new(command: &str, parameters: u64, seed: u64, start: RunStart) -> Self {
        Self {
            command: Some(command.to_owned()),
            parameters,
            seed,
            starts: vec![start],
            epochs: Vec::new(),
        }
    }

    /// Returns the facts of a run that is resumed after `epochs` epochs. `new` are those of this start, which are all
    /// there are of a run of an earlier version.
    ///
    /// # Errors
    /// [`RunError::Io`], [`RunError::Json`].
    pub fn resume(folder: &Path, epochs: u64, new: Self) -> Result<Self, RunError> {
        let Some(mut facts) = Self::read(folder)? else {
            // `effnet train --resume` also resumes a run of `effnet finetune`.
            return Ok(Self { command: None, ..new });
        };
        facts.epochs.retain(|epoch| epoch.epoch <= epochs);
        facts.starts.extend(new.starts);
        Ok(facts)
    }

    /// The description of the start before the last one, if it differs from that of the last.
    pub fn before_change(&self) -> Option<String> {
        let [.., before, last] = &*self.starts else {
            return None;
        };
        let [before, last] = [before, last].map(RunStart::describe);
        (before != last).then_some(before)
    }

    /// Reads the facts of the run in `folder`; a run of an earlier version has none.
    ///
    /// # Errors
    /// [`RunError::Io`], [`RunError::Json`].
    pub fn read(folder: &Path) -> Result<Option<Self>, RunError> {
        let path = folder.join(RUN);
        if path.exists() {
            crate::folder::read_json(&path).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Writes them to the run folder.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn write(&self, folder: &RunFolder) -> Result<(), RunError> {
        folder.write_json(RUN, self)
    }
}
