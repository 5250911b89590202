//! What concerns the process as a whole.

use std::ffi::{CString, c_char, c_int};
use std::path::Path;

use crate::Error;
use crate::error::check;

unsafe extern "C" {
    fn effnet_load_cuda(folder: *const c_char, loaded: *mut i32) -> *mut c_char;
    fn effnet_keep_freed_memory() -> i32;
    fn _exit(status: c_int) -> !;
}

/// Loads libtorch's CUDA library if this machine has a driver, and says whether it did.
///
/// **It must come before the first tensor of the process**: libtorch looks for CUDA once, on first
/// use, and remembers. A machine without a driver pays one failed look-up and nothing else.
/// `folder` is where `libtorch_cuda.so` lies; `None` means beside `libtorch_cpu.so`.
///
/// # Errors
/// [`Error::Native`] when there is a driver but the library cannot be loaded.
pub fn load_cuda(folder: Option<&Path>) -> Result<bool, Error> {
    let folder = folder
        .map(|folder| CString::new(folder.as_os_str().as_encoded_bytes()))
        .transpose()
        .map_err(|_| Error::Native("the folder's name contains a zero byte".to_owned()))?;
    let pointer = folder.as_ref().map_or(std::ptr::null(), |folder| folder.as_ptr());
    let mut loaded = 0;
    // SAFETY: `pointer` is null or a C string that outlives the call, `loaded` a place to write to.
    check(unsafe { effnet_load_cuda(pointer, &raw mut loaded) })?;
    Ok(loaded != 0)
}

/// Tells glibc to keep freed blocks of up to 1 GiB instead of returning them to the system, where
/// each new activation of a batch would be faulted in page by page: a third of the time of
/// libtorch's own kernels at batch 16. The process keeps the memory of its largest batch. It reaches
/// the threads that allocate for the first time afterwards.
///
/// `false` where the allocator has no such setting. The fused network does not need it.
pub fn keep_freed_memory() -> bool {
    // SAFETY: takes nothing; `mallopt` may be called at any time.
    unsafe { effnet_keep_freed_memory() != 0 }
}

/// Ends the process, without the destructors of the C++ libraries: other threads may be inside of
/// libtorch, which those would take apart under them. Nothing is flushed.
pub fn exit_at_once(code: u8) -> ! {
    // SAFETY: takes a number, may be called at any time by any thread, and does not return.
    unsafe { _exit(c_int::from(code)) }
}
