//! The processes that train together: those started by torchrun or srun, or this process alone.
//!
//! The rest of the training code is written once, for any number of processes. Without a group, every call
//! here is a no-op or returns this process's own value.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use effnet_data::Shard;
use effnet_train::{Trainer, agree};
use launch_environment::Environment;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::Device;
use torch_c10d::{ProcessGroup, ProcessGroupOptions};

use effnet_cli::arguments::TrainingArguments;

/// The group of this process, if it belongs to one.
pub(super) struct Ranks {
    group: Option<ProcessGroup>,
    sync_bn: bool,
    /// How often the launcher has restarted the group.
    pub(super) restarts: u64,
}

impl Ranks {
    /// Creates a single process, which does not belong to a group.
    pub(super) fn alone() -> Self {
        Self {
            group: None,
            sync_bn: false,
            restarts: 0,
        }
    }

    /// Waits for the other processes and connects to them.
    pub(super) fn connect(
        environment: &Environment,
        arguments: &TrainingArguments,
        device: Device,
    ) -> anyhow::Result<Self> {
        let options = ProcessGroupOptions::default()
            .with_timeout(Duration::from_secs(arguments.rank_timeout as u64))
            .with_device(device);
        Ok(Self {
            group: Some(ProcessGroup::connect(environment, &options)?),
            sync_bn: arguments.sync_bn,
            restarts: environment.restart_count,
        })
    }

    pub(super) fn group(&self) -> Option<&ProcessGroup> {
        self.group.as_ref()
    }

    /// Returns whether this is the process that writes and prints.
    pub(super) fn is_first(&self) -> bool {
        self.shard().rank == 0
    }

    pub(super) fn count(&self) -> usize {
        self.shard().world_size
    }

    pub(super) fn shard(&self) -> Shard {
        self.group.as_ref().map_or(Shard::default(), |group| Shard {
            rank: group.rank(),
            world_size: group.world_size(),
        })
    }

    /// Checks that `facts` is identical in every process.
    pub(super) fn agree(&self, facts: &BTreeMap<String, String>) -> anyhow::Result<()> {
        match &self.group {
            Some(group) => Ok(agree(group, facts)?),
            None => Ok(()),
        }
    }

    /// Runs `work` in the first process and returns its result in every process. An error in `work` is an
    /// error in every process.
    pub(super) fn first<T: Serialize + DeserializeOwned>(
        &self,
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let Some(group) = &self.group else {
            return work();
        };
        if group.rank() > 0 {
            let text = group.broadcast_bytes(&[], 0)?;
            return match serde_json::from_slice::<Result<T, String>>(&text)? {
                Ok(made) => Ok(made),
                Err(message) => bail!("rank 0: {message}"),
            };
        }
        let made = work();
        let message = made.as_ref().map_err(|error| format!("{error:#}"));
        group.broadcast_bytes(&serde_json::to_vec(&message)?, 0)?;
        made
    }

    /// Returns the values of all processes, by rank.
    pub(super) fn gather<T: Serialize + DeserializeOwned>(&self, own: T) -> anyhow::Result<Vec<T>> {
        let Some(group) = &self.group else {
            return Ok(vec![own]);
        };
        let all = group.all_gather_bytes(&serde_json::to_vec(&own)?)?;
        let parse = |text: &Vec<u8>| {
            serde_json::from_slice(text).context("another rank runs a different version of this program")
        };
        all.iter().map(parse).collect()
    }

    /// Returns whether `own` is true in any process.
    pub(super) fn any(&self, own: bool) -> anyhow::Result<bool> {
        match &self.group {
            Some(group) => Ok(group.any(own)?),
            None => Ok(own),
        }
    }

    /// Joins `trainer` with the trainers of the other processes.
    pub(super) fn join(&self, trainer: &mut Trainer) -> anyhow::Result<()> {
        match &self.group {
            Some(group) => Ok(trainer.join(group, self.sync_bn)?),
            None => Ok(()),
        }
    }

    /// Returns the description of the group for a checkpoint.
    pub(super) fn describe(&self) -> String {
        if self.group.is_none() || self.count() == 1 {
            return ALONE.to_owned();
        }
        let norms = if self.sync_bn { ", --sync-bn" } else { "" };
        format!("{} ranks{norms}", self.count())
    }

    /// Rejects resuming a run in a group of a different size, whose steps would differ. `described` comes
    /// from the checkpoint.
    pub(super) fn check(&self, described: Option<&str>) -> anyhow::Result<()> {
        let (before, now) = (described.unwrap_or(ALONE), self.describe());
        ensure!(
            before == now,
            "expected {before}, as when the run was started, found {now}; resume with the same setup"
        );
        Ok(())
    }

    /// Reports this process's error to the other processes.
    pub(super) fn report(&self, error: &anyhow::Error) {
        if let Some(group) = &self.group {
            group.report_failure(&format!("{error:#}"));
        }
    }
}

/// The description of a process without a group.
const ALONE: &str = "1 process";
