//! Errors of this crate's C++ functions as `Result`s.

use std::ffi::c_char;

use libtorch_ext::Error;
use libtorch_ext::boundary::check_message;

unsafe extern "C" {
    fn effnet_c10d_free_message(message: *mut c_char);
}

/// Turns what the C functions return into a `Result`: null for success, or a message to be freed.
pub(crate) fn check(message: *mut c_char) -> Result<(), Error> {
    // SAFETY: a message of this shim that is not null is a C string, which the shim frees.
    unsafe { check_message(message, effnet_c10d_free_message) }
}
