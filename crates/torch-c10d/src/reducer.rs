//! Sums the gradients of all ranks while the backward pass runs.

use std::ptr::{self, NonNull};

use libtorch_ext::Error;
use tch::Tensor;
use torch_sys::C_tensor;

use crate::boundary::check;
use crate::raw::{RawReducer, effnet_reducer_backward, effnet_reducer_free, effnet_reducer_new};
use crate::signature::Operation;
use crate::{GroupError, ProcessGroup};

/// The size of a gradient bucket: 4 MiB, a fifth of B0's gradients. A bucket is sent as soon as it is full.
const BUCKET_BYTES: i64 = 4 << 20;

/// Sums the gradients of all ranks: c10d's Reducer, the engine of `DistributedDataParallel`.
///
/// `DistributedDataParallel` averages; this sums. Each rank must weight its loss by its share of the images, so
/// that the sum is the gradient of the combined batch even if the ranks' batches differ in size.
#[derive(Debug)]
pub struct Reducer {
    group: ProcessGroup,
    raw: NonNull<RawReducer>,
}

impl Drop for Reducer {
    fn drop(&mut self) {
        // SAFETY: this value owns the reducer. An error about an unfinished backward pass was already reported.
        let _ = check(unsafe { effnet_reducer_free(self.raw.as_ptr()) });
    }
}

impl Reducer {
    /// Creates a reducer for the gradients of `parameters`. All of them must require a gradient, take part in
    /// every backward pass and not have a gradient yet. Every rank must pass them in the same order, that of the
    /// layers in the network: the last layers come first in the backward pass.
    ///
    /// # Errors
    /// [`GroupError::Collective`], including when the ranks have different parameters.
    pub fn new(group: &ProcessGroup, parameters: &[Tensor]) -> Result<Self, GroupError> {
        group.agree(Operation::Reducer, None)?;
        let pointers: Vec<*const C_tensor> = parameters.iter().map(Tensor::as_ptr).collect();
        let mut raw = ptr::null_mut();
        // SAFETY: the group is alive, and there are as many live tensors as the count says.
        group.call("comparing the parameters", || {
            check(unsafe {
                effnet_reducer_new(
                    group.connections().as_ptr(),
                    pointers.as_ptr(),
                    pointers.len(),
                    BUCKET_BYTES,
                    &raw mut raw,
                )
            })
        })?;
        let group = group.clone();
        match NonNull::new(raw) {
            Some(raw) => Ok(Self { group, raw }),
            None => Err(GroupError::Native {
                rank: group.rank(),
                source: Box::new(Error::OutOfMemory),
            }),
        }
    }

    /// Runs the backward pass of `loss`. Afterwards, every parameter's gradient is its sum over all ranks,
    /// including the gradients accumulated by earlier backward passes.
    ///
    /// # Errors
    /// [`GroupError::Collective`]; the reducer must then be dropped.
    pub fn backward(&mut self, loss: &Tensor) -> Result<(), GroupError> {
        let raw = self.raw.as_ptr();
        self.group.call("summing the gradients", || {
            // SAFETY: the reducer is alive and borrowed exclusively, and the loss is alive.
            check(unsafe { effnet_reducer_backward(raw, loss.as_ptr()) })
        })
    }
}
