//! What concerns the process as a whole.

use std::ffi::{CString, c_char};
use std::path::Path;

use crate::Error;
use crate::error::check;

unsafe extern "C" {
    fn effnet_load_cuda(folder: *const c_char, loaded: *mut i32) -> *mut c_char;
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
