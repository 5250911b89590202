//! The process group of a synchronised batch normalisation, and how the C++ side calls it.
//!
//! The layers need only one thing from other processes: the sum of a few numbers, in the forward and backward
//! passes. They get it through a trait, so that neither this crate nor a network depends on how the processes are
//! connected.

use std::ffi::c_void;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;

use effnet_kernels::boundary::RawResult;
use tch::Tensor;
use torch_sys::C_tensor;

use crate::Error;
use crate::raw::RawNormGroup;

/// A group of processes that normalise their batches by their joint statistics: the `process_group` of PyTorch's
/// `SyncBatchNorm`.
pub trait BatchNormGroup: Debug + Send + Sync {
    /// Replaces `values`, contiguous doubles on the device of the batch, with their sum over all processes. Every
    /// process makes the same calls in the same order: one per layer in the forward pass, and one per layer in the
    /// backward pass, on the thread that autograd uses for it.
    ///
    /// # Errors
    /// Returns an error when the exchange fails, which becomes the error of the pass.
    fn sum(&self, values: &Tensor) -> Result<(), Error>;
}

/// Returns the group in the form that C++ calls. It is valid for as long as the reference; to keep it longer, the
/// C++ side calls `retain`.
pub(super) fn raw(group: Option<&Arc<dyn BatchNormGroup>>) -> RawNormGroup {
    RawNormGroup {
        context: group.map_or(ptr::null(), |group| ptr::from_ref(group).cast()),
        retain,
        release,
        sum,
    }
}

/// Returns another reference to the group, on the heap.
///
/// # Safety
/// `context` must be a live `Arc<dyn BatchNormGroup>`.
unsafe extern "C" fn retain(context: *const c_void) -> *mut c_void {
    // SAFETY: by this function's contract.
    let group = unsafe { &*context.cast::<Arc<dyn BatchNormGroup>>() };
    Box::into_raw(Box::new(Arc::clone(group))).cast()
}

/// # Safety
/// `context` must come from [`retain`], and must be released only once.
unsafe extern "C" fn release(context: *mut c_void) {
    // SAFETY: by this function's contract.
    drop(unsafe { Box::from_raw(context.cast::<Arc<dyn BatchNormGroup>>()) });
}

/// # Safety
/// `context` must be an `Arc<dyn BatchNormGroup>` and `values` a tensor, both alive.
unsafe extern "C" fn sum(context: *const c_void, values: *mut C_tensor) -> RawResult {
    let sum = || {
        // SAFETY: by this function's contract; the clone is another handle to the same tensor.
        let (group, values) = unsafe {
            let group = &*context.cast::<Arc<dyn BatchNormGroup>>();
            (group, Tensor::clone_from_ptr(values))
        };
        group.sum(&values)
    };
    // A panic must not unwind through C++.
    let result = catch_unwind(AssertUnwindSafe(sum))
        .unwrap_or_else(|_| Err(Error::Native("the sum over all processes panicked".to_owned())));
    match result {
        Ok(()) => RawResult::OK,
        Err(Error::OutOfMemory) => RawResult::OUT_OF_MEMORY,
        Err(error) => RawResult::failed(&error.to_string()),
    }
}
