//! A setting of the process's allocator, for callers whose memory is not managed by the kernels.

use crate::raw::effnet_keep_freed_memory;

/// Tells glibc to keep freed blocks of up to 1 GiB instead of returning them to the system. Otherwise, the
/// operating system maps each new activation of a batch page by page, which takes a third of the time of
/// libtorch's kernels at batch size 16. In return, the process keeps the memory of its largest batch.
///
/// The setting applies to threads that allocate for the first time after this call. Returns `false` if the
/// allocator does not have this setting. A [`Network`](crate::Network) does not need it, because contexts keep
/// their memory.
pub fn keep_freed_memory() -> bool {
    // SAFETY: the function has no arguments, and `mallopt` may be called at any time.
    unsafe { effnet_keep_freed_memory() != 0 }
}
