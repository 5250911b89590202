//! The store through which the processes of a group rendezvous.

use std::ffi::{CString, c_void};
use std::ptr::NonNull;
use std::time::Duration;

use launch_environment::Master;
use libtorch_ext::Error;
use libtorch_ext::boundary::RawResult;

use crate::boundary::check;
use crate::raw::{
    RawStore, effnet_store_clone, effnet_store_connect, effnet_store_free, effnet_store_get,
    effnet_store_has, effnet_store_prefixed, effnet_store_set,
};

/// A key-value store that all processes of a group share: c10d's `TCPStore`.
#[derive(Debug)]
pub struct Store(NonNull<RawStore>);

// SAFETY: the underlying object accepts calls from any thread; its own lock serialises them.
unsafe impl Send for Store {}
// SAFETY: as above.
unsafe impl Sync for Store {}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: this value owns the store.
        unsafe { effnet_store_free(self.0.as_ptr()) };
    }
}

impl Store {
    /// Connects to the store at `master` within `timeout`. If `serves` is true, this process first opens the store
    /// and serves it.
    ///
    /// # Errors
    /// [`Error::Native`] when the address is in use or there is no answer.
    pub fn connect(master: &Master, serves: bool, timeout: Duration) -> Result<Self, Error> {
        Self::connect_counted(master, serves, 0, timeout)
    }

    /// Like [`connect`](Self::connect), for a group with PyTorch, whose store waits for its `clients`. The process
    /// that serves the store is one of them.
    pub(crate) fn connect_counted(
        master: &Master,
        serves: bool,
        clients: usize,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let host = c_string(&master.address)?;
        let (serves, clients, timeout) = (i32::from(serves), clients as i32, milliseconds(timeout));
        // SAFETY: `host` is a C string that outlives the call.
        Self::make(|out| unsafe {
            effnet_store_connect(host.as_ptr(), master.port, serves, clients, timeout, out)
        })
    }

    /// Returns the part of the store whose keys start with `prefix`.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn prefixed(&self, prefix: &str) -> Result<Self, Error> {
        let prefix = c_string(prefix)?;
        // SAFETY: the store is alive, and `prefix` is a C string that outlives the call.
        Self::make(|out| unsafe { effnet_store_prefixed(self.0.as_ptr(), prefix.as_ptr(), out) })
    }

    /// Opens a new connection to the same store. Calls on it do not wait for calls on this one.
    ///
    /// # Errors
    /// [`Error::Native`] when the store does not answer.
    pub fn reconnect(&self) -> Result<Self, Error> {
        // SAFETY: the store is alive.
        Self::make(|out| unsafe { effnet_store_clone(self.0.as_ptr(), out) })
    }

    fn make(call: impl FnOnce(*mut *mut RawStore) -> RawResult) -> Result<Self, Error> {
        let mut raw = std::ptr::null_mut();
        check(call(&raw mut raw))?;
        NonNull::new(raw).map(Self).ok_or(Error::OutOfMemory)
    }

    /// Sets the value of `key`, replacing any previous one.
    ///
    /// # Errors
    /// [`Error::Native`] when the store does not answer.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        let key = c_string(key)?;
        // SAFETY: the store is alive, the key is a C string, and `value` has the stated length.
        check(unsafe { effnet_store_set(self.0.as_ptr(), key.as_ptr(), value.as_ptr(), value.len()) })
    }

    /// Returns the value of `key`, waiting up to `timeout` for it to be set.
    ///
    /// # Errors
    /// [`Error::Native`] when the key still has no value by then, or when the store does not answer.
    pub fn get(&self, key: &str, timeout: Duration) -> Result<Vec<u8>, Error> {
        let key = c_string(key)?;
        let mut value: Vec<u8> = Vec::new();
        // SAFETY: the store is alive, the key is a C string, and `take` receives the vector that it expects.
        check(unsafe {
            effnet_store_get(
                self.0.as_ptr(),
                key.as_ptr(),
                milliseconds(timeout),
                take,
                (&raw mut value).cast(),
            )
        })?;
        Ok(value)
    }

    /// Returns the value of `key`, or `None` if it does not have one yet.
    ///
    /// # Errors
    /// [`Error::Native`] when the store does not answer.
    pub fn try_get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let name = c_string(key)?;
        let mut found = 0;
        // SAFETY: the store is alive, the key is a C string, and `found` is valid for writes.
        check(unsafe { effnet_store_has(self.0.as_ptr(), name.as_ptr(), &raw mut found) })?;
        if found == 0 {
            return Ok(None);
        }
        self.get(key, Duration::from_secs(1)).map(Some)
    }

    pub(crate) fn as_ptr(&self) -> *const RawStore {
        self.0.as_ptr()
    }
}

/// Appends a value to the vector behind `context`.
///
/// # Safety
/// `context` must be the `Vec<u8>` that was passed with this function, and `bytes` must point to `count` bytes.
unsafe extern "C" fn take(context: *mut c_void, bytes: *const u8, count: usize) {
    if count > 0 {
        // SAFETY: by this function's contract.
        unsafe {
            (*context.cast::<Vec<u8>>()).extend_from_slice(std::slice::from_raw_parts(bytes, count));
        }
    }
}

pub(crate) fn c_string(text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| Error::Native(format!("`{}` contains a zero byte", text.escape_debug())))
}

/// Converts `duration` to milliseconds, at least 1, because 0 means no timeout.
pub(crate) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).max(1)
}
