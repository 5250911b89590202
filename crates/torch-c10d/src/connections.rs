//! The connections between ranks: Gloo's sockets, and NCCL's communicators between CUDA devices.

use std::ffi::CString;
use std::net::IpAddr;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use libtorch_ext::Error;

use crate::Store;
use crate::boundary::check;
use crate::nccl;
use crate::raw::{RawGroup, effnet_group_add_nccl, effnet_group_free, effnet_group_new};
use crate::store::{c_string, milliseconds};

/// Connections between all ranks: sockets and, if the ranks use CUDA devices, NCCL communicators between those.
#[derive(Debug)]
pub(crate) struct Connections {
    raw: NonNull<RawGroup>,
    failed: AtomicBool,
}

// SAFETY: the underlying object accepts calls from any thread. (A `ProcessGroup` requires the same order of calls
// on all ranks, which concurrent calls would break.)
unsafe impl Send for Connections {}
// SAFETY: as above.
unsafe impl Sync for Connections {}

impl Drop for Connections {
    fn drop(&mut self) {
        let failed = i32::from(*self.failed.get_mut());
        // SAFETY: this value owns the group. A destructor cannot report an error.
        let _ = check(unsafe { effnet_group_free(self.raw.as_ptr(), failed) });
    }
}

impl Connections {
    pub(crate) fn new(
        store: &Store,
        rank: usize,
        world_size: usize,
        address: Option<IpAddr>,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let address = address
            .map(|address| c_string(&address.to_string()))
            .transpose()?;
        let address: Option<&CString> = address.as_ref();
        let mut raw = ptr::null_mut();
        // SAFETY: the store is alive, the address is null or a C string, and `raw` is valid for writes.
        check(unsafe {
            effnet_group_new(
                store.as_ptr(),
                rank as i32,
                world_size as i32,
                address.map_or(ptr::null(), |address| address.as_ptr()),
                milliseconds(timeout),
                &raw mut raw,
            )
        })?;
        let raw = NonNull::new(raw).ok_or(Error::OutOfMemory)?;
        Ok(Self {
            raw,
            failed: AtomicBool::new(false),
        })
    }

    /// Connects this CUDA device to those of the other ranks.
    pub(crate) fn add_device(
        &mut self,
        store: &Store,
        rank: usize,
        world_size: usize,
        device: usize,
        timeout: Duration,
    ) -> Result<(), Error> {
        let backend = nccl::connect(&store.prefixed("nccl")?, rank, world_size, device, timeout)?;
        // SAFETY: the group is alive and not shared, and it takes ownership of the backend.
        check(unsafe { effnet_group_add_nccl(self.raw.as_ptr(), backend.as_ptr()) })
    }

    /// Records that a call has failed, so that dropping these connections does not wait for pending operations.
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn as_ptr(&self) -> *const RawGroup {
        self.raw.as_ptr()
    }
}
