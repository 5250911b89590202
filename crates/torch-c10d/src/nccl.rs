//! NCCL, through a separate library that is loaded when a group has CUDA devices.
//!
//! libtorch's NCCL backend is in libtorch_cuda: a program linked to it would need that on every machine.

use std::ffi::{c_char, c_void};
use std::mem::offset_of;
use std::ptr::{self, NonNull};
use std::time::Duration;

use libtorch_ext::Error;
use libtorch_ext::boundary::{CudaLibrary, check_message, device_index};

use crate::Store;
use crate::store::milliseconds;

// SAFETY: nccl.h has this table.
static LIBRARY: CudaLibrary<Api> = unsafe {
    CudaLibrary::new(
        "libeffnet_nccl.so",
        option_env!("EFFNET_NCCL"),
        "nccl",
        c"effnet_nccl",
    )
};

#[repr(C)]
pub(crate) struct RawBackend {
    _opaque: [u8; 0],
}

/// As in nccl.h.
#[derive(Debug)]
#[repr(C)]
struct Api {
    connect: unsafe extern "C" fn(
        store: *const c_void,
        rank: i32,
        size: i32,
        device: i32,
        timeout: i64,
        out: *mut *mut RawBackend,
    ) -> *mut c_char,
    free_message: unsafe extern "C" fn(*mut c_char),
}

const _: () = assert!(
    size_of::<Api>() == 2 * size_of::<usize>() && offset_of!(Api, free_message) == size_of::<usize>()
);

/// Connects this CUDA device to those of the other ranks, which do so with the same `store`. The caller owns the
/// result.
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
    // SAFETY: the store is alive, the last argument valid for writes; the message comes from that library, which
    // frees it.
    unsafe {
        let message = (api.connect)(
            store.as_ptr(),
            rank as i32,
            world_size as i32,
            device,
            milliseconds(timeout),
            &raw mut raw,
        );
        check_message(message, api.free_message)?;
    }
    NonNull::new(raw).ok_or(Error::OutOfMemory)
}
