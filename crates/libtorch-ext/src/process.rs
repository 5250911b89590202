//! Loads libtorch's CUDA library, which affects the whole process.

use std::ffi::CString;
use std::path::Path;

use crate::Error;
use crate::error::check;
use crate::raw::effnet_load_cuda;

/// Loads libtorch's CUDA library if this machine has a driver, and returns whether it did.
///
/// **Call this before the process creates its first tensor**: libtorch looks for CUDA once, on first use, and
/// remembers the answer. On a machine without a driver, the only cost is one failed lookup. `folder` is the folder
/// that contains `libtorch_cuda.so`; `None` means the folder of `libtorch_cpu.so`.
///
/// # Errors
/// [`Error::Native`] when there is a driver but the library cannot be loaded.
pub fn load_cuda(folder: Option<&Path>) -> Result<bool, Error> {
    let folder = folder
        .map(|folder| CString::new(folder.as_os_str().as_encoded_bytes()))
        .transpose()
        .map_err(|_| Error::Native("the folder's path contains a zero byte".to_owned()))?;
    let pointer = folder.as_ref().map_or(std::ptr::null(), |folder| folder.as_ptr());
    let mut loaded = 0;
    // SAFETY: `pointer` is null or a C string that outlives the call, and `loaded` is valid for writes.
    check(unsafe { effnet_load_cuda(pointer, &raw mut loaded) })?;
    Ok(loaded != 0)
}
