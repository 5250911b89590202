//! Data parallelism: each rank computes the gradients for its part of a batch, and all ranks take the same step
//! with the sum of the gradients.
//!
//! Any difference between ranks would make them drift apart without an error. So the ranks compare step and batch
//! before each step, and share the running statistics after it.

use std::sync::Arc;

use libtorch_ext::training::BatchNormGroup;
use tch::{TchError, Tensor};
use torch_c10d::{ProcessGroup, Reducer, Reduction, SyncBatchNorm};

use crate::network::is_statistic;
use crate::{Error, Network};

/// The collective operations of a trainer in a group.
#[derive(Debug)]
pub(crate) struct DataParallel {
    group: ProcessGroup,
    /// The group for synchronised batch normalisation.
    batch_norm_group: Option<Arc<dyn BatchNormGroup>>,
    /// Sums the gradients of the parameters that the current phase trains.
    reducer: Option<Reducer>,
    /// The running statistics, which differ between ranks after a step without synchronised batch normalisation.
    statistics: Vec<Tensor>,
}

/// The numbers of images in a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    /// The number of images on this rank.
    pub(crate) own: i64,
    /// The number of images on all ranks.
    pub(crate) all: i64,
}

impl Share {
    /// Returns the share of a single process that is not in a group.
    pub(crate) fn alone(images: i64) -> Self {
        Self {
            own: images,
            all: images,
        }
    }
}

impl DataParallel {
    pub(crate) fn new(
        group: &ProcessGroup,
        sync_batch_norm: bool,
        network: &impl Network,
    ) -> Result<Self, Error> {
        let batch_norm_group: Option<Arc<dyn BatchNormGroup>> = if sync_batch_norm {
            Some(Arc::new(SyncBatchNorm::new(group)?))
        } else {
            None
        };
        let statistics = network
            .named_tensors()
            .filter(|(name, tensor)| is_statistic(name) && tensor.is_floating_point());
        let mut parallel = Self {
            group: group.clone(),
            batch_norm_group,
            reducer: None,
            statistics: statistics.map(|(_, tensor)| tensor.shallow_clone()).collect(),
        };
        parallel.begin_phase(network)?;
        Ok(parallel)
    }

    pub(crate) fn group(&self) -> &ProcessGroup {
        &self.group
    }

    /// The group for the network's batch normalisation.
    pub(crate) fn batch_norm_group(&self) -> Option<Arc<dyn BatchNormGroup>> {
        self.batch_norm_group.clone()
    }

    /// Prepares for a phase that trains different parameters.
    pub(crate) fn begin_phase(&mut self, network: &impl Network) -> Result<(), Error> {
        // Drop the old reducer first: two reducers for the same parameter would both send its gradient.
        self.reducer = None;
        // With a single rank, a reducer would only copy gradients.
        if self.group.world_size() == 1 {
            return Ok(());
        }
        let trained = network
            .named_tensors()
            .filter(|(_, tensor)| tensor.requires_grad());
        let trained: Vec<Tensor> = trained.map(|(_, tensor)| tensor.shallow_clone()).collect();
        self.reducer = Some(Reducer::new(&self.group, &trained)?);
        Ok(())
    }

    /// Exchanges the numbers of images with the other ranks, and checks that all ranks are about to take step
    /// `step` with the same number of parts.
    pub(crate) fn share(&self, images: i64, parts: usize, step: u64) -> Result<Share, Error> {
        let own = [images as f64, parts as f64, step as f64, 0.0];
        let all = self.group.all_gather_numbers(own)?;
        let unlike = |other: &[f64; 4]| other[1..3] != all[0][1..3] || other[0] < 1.0;
        if let Some(other) = all.iter().position(unlike) {
            let describe = |rank: usize| {
                let [images, parts, step, _] = all[rank].map(|number| number as u64);
                let images = if images == 1 {
                    "1 image".to_owned()
                } else {
                    format!("{images} images")
                };
                let parts = if parts == 1 {
                    "1 batch".to_owned()
                } else {
                    format!("{parts} batches")
                };
                format!("rank {rank} is at step {step} with {images} in {parts}")
            };
            return Err(Error::Disagreement {
                rank: self.group.rank(),
                differences: vec![format!("{}, {}", describe(other), describe(0))],
            });
        }
        let all = all.iter().map(|numbers| numbers[0] as i64).sum();
        Ok(Share { own: images, all })
    }

    /// Finds the cause of a failed forward pass, which may be another rank.
    pub(crate) fn explain_forward(&self, error: Error) -> Error {
        self.explain("the forward pass", error)
    }

    /// Runs the backward pass of a part. During the last part of a step, the gradients are summed over all ranks
    /// while the pass runs.
    pub(crate) fn backward(&mut self, loss: &Tensor, is_last: bool) -> Result<(), Error> {
        match &mut self.reducer {
            Some(reducer) if is_last => Ok(reducer.backward(loss)?),
            _ => loss
                .f_backward()
                .map_err(|error| self.explain("the backward pass", error.into())),
        }
    }

    /// Returns the sum over all ranks, added in rank order.
    pub(crate) fn sum(&self, own: f64) -> Result<f64, Error> {
        let all = self.group.all_gather_numbers([own, 0.0, 0.0, 0.0])?;
        Ok(all.iter().map(|numbers| numbers[0]).sum())
    }

    /// Replaces the running statistics with their mean over all ranks, weighted by the numbers of images, so that
    /// the networks stay identical.
    pub(crate) fn average_statistics(&self, share: Share) -> Result<(), Error> {
        // Synchronised batch normalisation already keeps them identical.
        if self.batch_norm_group.is_some() || self.group.world_size() == 1 || self.statistics.is_empty() {
            return Ok(());
        }
        let flat = Tensor::f_cat(&self.statistics, 0)?.f_mul_scalar(share.own as f64 / share.all as f64)?;
        self.group.all_reduce(&flat, Reduction::Sum)?;
        let mut start = 0;
        for own in &self.statistics {
            let length = own.size()[0];
            own.shallow_clone().f_copy_(&flat.f_narrow(0, start, length)?)?;
            start += length;
        }
        Ok(())
    }

    /// Explains an error in a pass, which may come from another rank if batch normalisation is synchronised.
    fn explain(&self, operation: &'static str, error: Error) -> Error {
        match error {
            Error::Torch(TchError::Torch(message) | TchError::Convert(message))
                if self.batch_norm_group.is_some() && !is_of_memory(&message) =>
            {
                self.group.explain(operation, &message).into()
            }
            other => other,
        }
    }
}

fn is_of_memory(message: &str) -> bool {
    libtorch_ext::is_out_of_memory(&TchError::Torch(message.to_owned()))
}

/// Broadcasts `tensor` from rank 0.
pub(crate) fn follow_first(group: &ProcessGroup, tensor: &Tensor) -> Result<(), Error> {
    if tensor.is_contiguous() {
        return Ok(group.broadcast(tensor, 0)?);
    }
    let dense = tensor.f_detach()?.f_contiguous()?;
    group.broadcast(&dense, 0)?;
    tch::no_grad(|| tensor.shallow_clone().f_copy_(&dense))?;
    Ok(())
}
