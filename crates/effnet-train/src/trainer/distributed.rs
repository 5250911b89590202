//! [`Trainer::join`]: data-parallel training in a process group.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use libtorch_ext::device_name;
use serde::{Deserialize, Serialize};
use tch::Device;
use torch_c10d::ProcessGroup;

use super::{Position, RunningLoss, Trainer};
use crate::agreement::agree;
use crate::data_parallel::{DataParallel, follow_first};
use crate::{Ema, Error, GradScaler, Network};

/// The state of a trainer other than tensors.
#[derive(Serialize, Deserialize)]
struct Progress {
    position: Position,
    seed: u64,
    scaler: Option<GradScaler>,
    running_loss: RunningLoss,
    average_updates: u64,
}

impl<N: Network> Trainer<N> {
    /// Joins `group`, to train together with its other ranks: from now on, a [`step`](Self::step) uses the batches
    /// of all ranks together. All ranks must call this with the same network, options and phases. They take
    /// weights, EMA, optimizer state and position from rank 0.
    ///
    /// Gradients and weights are bit-identical on all ranks. With `sync_batch_norm`, or with frozen batch
    /// normalisation, they equal those of a single process on the combined batch, up to the order of summation.
    /// Otherwise, each rank normalises its own images, and the running statistics are averaged after the step.
    /// Weighted means (class weights) are computed on each rank separately, and dropout and drop connect draw
    /// different numbers on each rank.
    ///
    /// # Errors
    /// [`Error::Disagreement`] if the trainers differ, [`Error::Group`], [`Error::InvalidOption`] for a network on
    /// a device other than the group's.
    pub fn join(&mut self, group: &ProcessGroup, sync_batch_norm: bool) -> Result<(), Error> {
        let device = self.network.device();
        if device != Device::Cpu && device != group.device() {
            return Err(Error::option(
                "the device of a network in a group",
                "the CPU or the group's device",
                &device_name(device),
            ));
        }
        agree(group, &self.facts(sync_batch_norm))?;
        self.follow(group)?;
        let parallel = DataParallel::new(group, sync_batch_norm, &self.network)?;
        self.network.set_batch_norm_group(parallel.batch_norm_group())?;
        self.parallel = Some(parallel);
        Ok(())
    }

    /// The group that this trainer has joined, if any.
    pub fn group(&self) -> Option<&ProcessGroup> {
        self.parallel.as_ref().map(DataParallel::group)
    }

    /// Returns everything that must be identical on all ranks.
    fn facts(&self, sync_batch_norm: bool) -> BTreeMap<String, String> {
        let mut hasher = DefaultHasher::new();
        let mut values = 0;
        for (name, tensor) in self.network.named_tensors() {
            (name, tensor.size()).hash(&mut hasher);
            values += tensor.numel();
        }
        let fact = |name: &str, value: String| (name.to_owned(), value);
        BTreeMap::from([
            fact(
                "the network",
                format!("{values} values, layout {:016x}", hasher.finish()),
            ),
            fact("its configuration", self.network.settings()),
            fact("precision", self.options.precision.name().to_owned()),
            fact("loss", format!("{:?}", self.options.loss)),
            fact("clip_norm", format!("{:?}", self.options.clip_norm)),
            fact("ema", format!("{:?}", self.options.ema)),
            fact("phases", format!("{:?}", self.phases)),
            fact("sync_bn", sync_batch_norm.to_string()),
        ])
    }

    /// Takes over the whole state of rank 0.
    fn follow(&mut self, group: &ProcessGroup) -> Result<(), Error> {
        let own = Progress {
            position: self.position,
            seed: self.options.seed,
            scaler: self.scaler,
            running_loss: self.running_loss,
            average_updates: self.average.as_ref().map_or(0, Ema::updates),
        };
        let text = group.broadcast_bytes(serde_json::json!(own).to_string().as_bytes(), 0)?;
        if group.rank() > 0 {
            let first: Progress = serde_json::from_slice(&text).map_err(|error| Error::StateMismatch {
                what: "the state of rank 0",
                difference: error.to_string(),
            })?;
            self.begin_phase(first.position.phase)?;
            self.position = first.position;
            self.options.seed = first.seed;
            self.scaler = first.scaler;
            self.running_loss = first.running_loss;
            if let Some(average) = &mut self.average {
                average.set_updates(first.average_updates);
            }
        }
        let average = self
            .average
            .iter()
            .flat_map(|average| average.network().named_tensors());
        for (_, tensor) in self.network.named_tensors().chain(average) {
            follow_first(group, tensor)?;
        }
        for (_, tensor) in self.optimizer.slots() {
            follow_first(group, tensor)?;
        }
        Ok(())
    }
}
