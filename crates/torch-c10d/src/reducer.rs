//! Gradients of all ranks added up while the backward pass goes on.

use std::ffi::c_char;
use std::ptr::{self, NonNull};

use libtorch_ext::Error;
use tch::Tensor;
use torch_sys::C_tensor;

use crate::boundary::check;
use crate::connections::RawGroup;
use crate::signature::Operation;
use crate::{GroupError, ProcessGroup};

#[repr(C)]
struct RawReducer {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    fn effnet_reducer_new(
        group: *const RawGroup,
        tensors: *const *const C_tensor,
        count: usize,
        bucket_bytes: i64,
        out: *mut *mut RawReducer,
    ) -> *mut c_char;
    fn effnet_reducer_backward(reducer: *mut RawReducer, loss: *const C_tensor) -> *mut c_char;
    fn effnet_reducer_free(reducer: *mut RawReducer) -> *mut c_char;
}

/// Gradients are sent in pieces of this size as soon as they are there, 4 MiB: a fifth of those of B0.
const BUCKET_BYTES: i64 = 4 << 20;

/// Adds up the gradients of all ranks: c10d's Reducer, the engine of `DistributedDataParallel`.
///
/// It sums where that averages: each rank weights its loss by its share of the images, so that ranks with
/// unequal batches make the gradient of the joined one.
#[derive(Debug)]
pub struct Reducer {
    group: ProcessGroup,
    raw: NonNull<RawReducer>,
}

impl Drop for Reducer {
    fn drop(&mut self) {
        // SAFETY: it is this one's own. What it says of an unfinished backward pass was said before.
        let _ = check(unsafe { effnet_reducer_free(self.raw.as_ptr()) });
    }
}

impl Reducer {
    /// A reducer of the gradients of `parameters`, which all ask for one, are all used by every backward
    /// pass, have none now, and stand in the same order on every rank: that of the network, whose last
    /// layers come first in the backward pass.
    ///
    /// # Errors
    /// [`GroupError::Collective`], also when ranks have other parameters.
    pub fn new(group: &ProcessGroup, parameters: &[Tensor]) -> Result<Self, GroupError> {
        group.agree(Operation::Reducer, None)?;
        let pointers: Vec<*const C_tensor> = parameters.iter().map(Tensor::as_ptr).collect();
        let mut raw = ptr::null_mut();
        // SAFETY: the group is alive, and as many tensors as the count says.
        group.call("the comparison of the parameters", || {
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

    /// The backward pass of `loss`, after which every parameter's gradient is its sum over all ranks, what
    /// was added up by backward passes before it included.
    ///
    /// # Errors
    /// [`GroupError::Collective`]; the reducer is of no more use then.
    pub fn backward(&mut self, loss: &Tensor) -> Result<(), GroupError> {
        let raw = self.raw.as_ptr();
        self.group.call("the sum of the gradients", || {
            // SAFETY: the reducer is alive and this process's alone, the loss is alive.
            check(unsafe { effnet_reducer_backward(raw, loss.as_ptr()) })
        })
    }
}
