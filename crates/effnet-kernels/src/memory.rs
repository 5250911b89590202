//! What concerns the allocator of the whole process.

unsafe extern "C" {
    fn effnet_keep_freed_memory() -> i32;
}

/// Tells glibc to keep freed blocks of up to 1 GiB instead of returning them to the system, where
/// each new activation of a batch would be faulted in page by page: a third of the time of
/// libtorch's own kernels at batch 16. The process keeps the memory of its largest batch. It reaches
/// the threads that allocate for the first time afterwards.
///
/// `false` where the allocator has no such setting. A [`Network`](crate::Network) does not need it: its
/// contexts keep their memory.
pub fn keep_freed_memory() -> bool {
    // SAFETY: takes nothing; `mallopt` may be called at any time.
    unsafe { effnet_keep_freed_memory() != 0 }
}
