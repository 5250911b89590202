//! The memory and threads of a call.

use std::ptr::{self, NonNull};

use crate::Error;
use crate::error::check;
use crate::raw::{RawContext, effnet_context_bytes, effnet_context_free, effnet_context_new};
use crate::spec::small;

/// Scratch memory and threads for one call at a time.
///
/// Its memory grows to the size that the largest call needs, and is reused. Its threads sleep between calls.
#[derive(Debug)]
pub struct Context {
    pub(crate) handle: NonNull<RawContext>,
    threads: usize,
}

// SAFETY: the C++ object is not bound to the thread that created it, and is only used through a mutable reference.
unsafe impl Send for Context {}
// SAFETY: a shared reference only reads sizes, which only change through a mutable reference.
unsafe impl Sync for Context {}

impl Context {
    /// Starts `threads - 1` threads in addition to the caller's. `threads` is clamped to the range 1 to 1024.
    ///
    /// # Errors
    /// [`Error::Native`] if the system cannot start a thread, [`Error::OutOfMemory`].
    pub fn new(threads: usize) -> Result<Self, Error> {
        let threads = threads.clamp(1, 1024);
        let mut context = ptr::null_mut();
        // SAFETY: the last argument is valid for writes.
        check(unsafe { effnet_context_new(small("the threads", threads)?, &raw mut context) })?;
        let handle = NonNull::new(context).ok_or_else(|| Error::Native("no context was made".to_owned()))?;
        Ok(Self { handle, threads })
    }

    /// The number of threads, including the caller's.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The number of bytes held between calls.
    pub fn bytes(&self) -> u64 {
        // SAFETY: the context is alive.
        unsafe { effnet_context_bytes(self.handle.as_ptr()) }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context was created by `effnet_context_new`, is freed only here, and is not in use
        // elsewhere.
        unsafe { effnet_context_free(self.handle.as_ptr()) };
    }
}
