//! Synchronised batch normalisation: the sums over all ranks that its layers need in the forward and backward passes.

use libtorch_ext::Error;
use libtorch_ext::training::BatchNormGroup;
use tch::{Device, Tensor};

use crate::boundary::check;
use crate::connections::Connections;
use crate::raw::effnet_group_sum;
use crate::signature::Operation;
use crate::{GroupError, ProcessGroup};

/// A process group for batch normalisation in training. Layers that use it normalise by the combined statistics of
/// all ranks' batches. All ranks must run the same layers.
#[derive(Debug)]
pub struct SyncBatchNorm {
    group: ProcessGroup,
    /// Separate connections on the CPU, where these sums and those of the gradients interleave in no fixed order
    /// during the backward pass. `None` on a device, where they run one after another.
    connections: Option<Connections>,
}

impl SyncBatchNorm {
    /// Opens connections for the statistics. This is a collective call: all ranks of `group` must make it.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn new(group: &ProcessGroup) -> Result<Self, GroupError> {
        group.agree(Operation::Reducer, None)?;
        let connections = match group.device() {
            Device::Cuda(_) => None,
            _ => Some(group.more_connections()?),
        };
        let group = group.clone();
        Ok(Self { group, connections })
    }
}

impl BatchNormGroup for SyncBatchNorm {
    fn sum(&self, values: &Tensor) -> Result<(), Error> {
        let connections = self.connections.as_ref().unwrap_or(self.group.connections());
        // SAFETY: group and tensor are alive; all ranks have tensors like this one.
        check(unsafe { effnet_group_sum(connections.as_ptr(), values.as_ptr()) })
    }
}
