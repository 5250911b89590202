//! Batch normalisation over all ranks: what its layers add up, forwards and backwards.

use std::ffi::c_char;

use libtorch_ext::Error;
use libtorch_ext::training::BatchNormGroup;
use tch::{Device, Tensor};
use torch_sys::C_tensor;

use crate::boundary::check;
use crate::connections::{Connections, RawGroup};
use crate::signature::Operation;
use crate::{GroupError, ProcessGroup};

unsafe extern "C" {
    fn effnet_group_sum(group: *const RawGroup, values: *const C_tensor) -> *mut c_char;
}

/// The ranks of a group as batch normalisation in training sees them: layers that have it as their group normalise
/// by the statistics of the batches of all ranks together. All ranks run passes with the same layers.
#[derive(Debug)]
pub struct SyncBatchNorm {
    group: ProcessGroup,
    /// Those of CPUs, whose backward passes have no order between these sums and those of the gradients. A
    /// device does one after the other.
    connections: Option<Connections>,
}

impl SyncBatchNorm {
    /// Connections for the statistics of `group`. All ranks make it at the same time.
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
