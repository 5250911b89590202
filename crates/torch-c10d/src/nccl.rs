//! NCCL, through a separate library that is loaded when a group has CUDA devices.
//!
//! libtorch's NCCL backend is in libtorch_cuda. A program linked against that would need it on every machine.

use std::ptr::{self, NonNull};
use std::time::Duration;

use libtorch_ext::Error;
use libtorch_ext::boundary::{CudaLibrary, device_index};

use crate::Store;
use crate::raw::{RawBackend, RawNcclApi};
use crate::store::milliseconds;

// SAFETY: nccl.h declares this table.
static LIBRARY: CudaLibrary<RawNcclApi> = unsafe {
    CudaLibrary::new(
        "libeffnet_nccl.so",
        option_env!("EFFNET_NCCL"),
        "nccl",
        c"effnet_nccl_2",
    )
};

/// Connects this CUDA device to those of the other ranks, which must make this call with the same `store`. The
/// caller owns the result.
pub(crate) fn connect(
    store: &Store,
    rank: usize,
    world_size: usize,
    device: usize,
    timeout: Duration,
) -> Result<NonNull<RawBackend>, Error> {
    let api = LIBRARY.table()?;
    let device = device_index(device)?;
    let mut raw = ptr::null_mut();
    // SAFETY: the store is alive, and the last argument is valid for writes. The result comes from that library,
    // which frees its message.
    unsafe {
        let result = (api.connect)(
            store.as_ptr(),
            rank as i32,
            world_size as i32,
            device,
            milliseconds(timeout),
            &raw mut raw,
        );
        result.check_with(api.free_message)?;
    }
    NonNull::new(raw).ok_or(Error::OutOfMemory)
}
