//! The sockets of a group.

use std::ffi::{CString, c_char, c_void};
use std::net::IpAddr;
use std::ptr::{self, NonNull};
use std::time::Duration;

use super::Store;
use super::store::{c_string, milliseconds};
use crate::Error;
use crate::error::check;

#[repr(C)]
pub(super) struct RawGroup {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    fn effnet_group_new(
        store: *const c_void,
        rank: i32,
        size: i32,
        address: *const c_char,
        timeout: i64,
        out: *mut *mut RawGroup,
    ) -> *mut c_char;
    fn effnet_group_free(group: *mut RawGroup);
}

/// Sockets between all ranks.
#[derive(Debug)]
pub(super) struct Connections(NonNull<RawGroup>);

// SAFETY: the object behind it takes calls of any thread; a `ProcessGroup` asks for the same order on all
// ranks, which concurrent calls would not keep.
unsafe impl Send for Connections {}
// SAFETY: as above.
unsafe impl Sync for Connections {}

impl Drop for Connections {
    fn drop(&mut self) {
        // SAFETY: it is this one's own.
        unsafe { effnet_group_free(self.0.as_ptr()) };
    }
}

impl Connections {
    pub(super) fn new(
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
        // SAFETY: the store is alive, the address null or a C string, `raw` a place to write to.
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
        NonNull::new(raw).map(Self).ok_or(Error::OutOfMemory)
    }

    pub(super) fn as_ptr(&self) -> *const RawGroup {
        self.0.as_ptr()
    }
}
