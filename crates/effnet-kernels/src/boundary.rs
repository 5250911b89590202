//! The Rust half of `native/boundary.h`: how a C++ function reports a failure, and how layouts are checked.
//!
//! An exception must not unwind into Rust, so every C++ function that can fail returns a [`RawResult`]: a
//! [`Status`] and, if it failed, a message. Running out of memory has its own status because callers react to it
//! with a smaller batch.
//!
//! This module is public for crates whose own C++ code includes `boundary.h`. Each of them lists everything that
//! crosses its boundary in one C++ header and one Rust module, and both give the layout of every structure.

use std::ffi::{CStr, CString, c_char};
use std::ptr;

unsafe extern "C" {
    fn effnet_failure(text: *const c_char) -> RawResult;
    fn effnet_free_message(message: *mut c_char);
}

/// The outcome of a C++ function: `effnet_status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    /// It succeeded.
    Ok = 0,
    /// It failed, for the reason in the message.
    Failed = 1,
    /// It could not allocate memory on this machine or on a device.
    OutOfMemory = 2,
}

/// The return value of a C++ function that can fail: `effnet_result`.
#[derive(Debug)]
#[repr(C)]
#[must_use]
pub struct RawResult {
    /// A [`Status`]. It does not have that type, because C++ may write any number.
    status: i32,
    /// Null, or a C string owned by the library that created it.
    message: *mut c_char,
}

crate::assert_layout!(RawResult, size 16, alignment 8, { status: 0, message: 8 });

/// The reason why a C++ function failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// This machine or a device ran out of memory.
    OutOfMemory,
    /// Any other failure, with the function's message.
    Message(String),
}

impl RawResult {
    /// The result of a Rust function, called from C++, that succeeded.
    pub const OK: Self = Self::without_message(Status::Ok);

    /// The result of a Rust function, called from C++, that could not allocate memory.
    pub const OUT_OF_MEMORY: Self = Self::without_message(Status::OutOfMemory);

    const fn without_message(status: Status) -> Self {
        Self {
            status: status as i32,
            message: ptr::null_mut(),
        }
    }

    /// Creates the result of a Rust function, called from C++, that failed. The C++ side frees the message.
    pub fn failed(text: &str) -> Self {
        let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
        // SAFETY: `text` is a C string that outlives the call, which copies it.
        unsafe { effnet_failure(text.as_ptr()) }
    }

    /// Converts the result of a C++ function that is linked into this program into a Rust result, and frees the
    /// message.
    ///
    /// # Errors
    /// [`Failure`] for every status other than [`Status::Ok`].
    ///
    /// # Safety
    /// The result must be exactly what such a function, or [`failed`](Self::failed), returned.
    pub unsafe fn check(self) -> Result<(), Failure> {
        // SAFETY: by this function's contract; all C++ code in a program shares the allocator of messages.
        unsafe { self.check_with(effnet_free_message) }
    }

    /// Like [`check`](Self::check), for a library that was opened at run time. `free` is that library's function
    /// for freeing a message.
    ///
    /// # Errors
    /// [`Failure`] for every status other than [`Status::Ok`].
    ///
    /// # Safety
    /// The result must be exactly what a function of the library that `free` belongs to returned.
    pub unsafe fn check_with(self, free: unsafe extern "C" fn(message: *mut c_char)) -> Result<(), Failure> {
        const OK: i32 = Status::Ok as i32;
        const OUT_OF_MEMORY: i32 = Status::OutOfMemory as i32;
        let mut message = None;
        if !self.message.is_null() {
            // SAFETY: by this function's contract, a message that is not null is a C string.
            let text = unsafe { CStr::from_ptr(self.message) };
            message = Some(text.to_string_lossy().into_owned());
            // SAFETY: by this function's contract; only a copy of the message is kept.
            unsafe { free(self.message) };
        }
        match self.status {
            OK => Ok(()),
            OUT_OF_MEMORY => Err(Failure::OutOfMemory),
            other => {
                let unknown = || format!("a C++ function returned status {other} without a message");
                Err(Failure::Message(message.unwrap_or_else(unknown)))
            }
        }
    }
}

/// Asserts at compile time the size and alignment of a `#[repr(C)]` structure and the offset of each of its
/// fields, in bytes. The structure's C++ header has the same numbers in `ASSERT_LAYOUT` and `ASSERT_OFFSET`.
///
/// Every field must be listed.
#[macro_export]
macro_rules! assert_layout {
    ($type:ident, size $size:literal, alignment $alignment:literal, { $($field:ident: $offset:literal),+ $(,)? }) => {
        const _: () = {
            // This compiles only if no field is missing.
            #[allow(dead_code)]
            fn all_fields_are_listed(value: &$type) {
                let $type { $($field: _),+ } = value;
            }
            assert!(::std::mem::size_of::<$type>() == $size);
            assert!(::std::mem::align_of::<$type>() == $alignment);
            $(assert!(::std::mem::offset_of!($type, $field) == $offset);)+
        };
    };
}

/// Parses the text of a C++ header, and returns the enumerators of `enum NAME` in order, each with its name and
/// the number explicitly assigned to it. This is for tests that compare them with Rust's.
pub fn enumerators<'a>(header: &'a str, name: &str) -> Vec<(&'a str, i32)> {
    let body = |text: &'a str| Some(text.split_once('{')?.1.split_once('}')?.0);
    let definition = header
        .split("\nenum ")
        .skip(1)
        .find(|text| text.trim_start_matches("class ").split([' ', ':']).next() == Some(name))
        .and_then(body)
        .unwrap_or_default();
    definition
        .lines()
        .filter_map(|line| {
            let (name, number) = line.split(',').next()?.split_once('=')?;
            Some((name.trim(), number.trim().parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(result: RawResult) -> Result<(), Failure> {
        // SAFETY: the result comes from `failed`, or does not have a message.
        unsafe { result.check() }
    }

    #[test]
    fn both_sides_number_statuses_alike() {
        let expected = [
            ("effnet_ok", Status::Ok as i32),
            ("effnet_failed", Status::Failed as i32),
            ("effnet_out_of_memory", Status::OutOfMemory as i32),
        ];
        let header = include_str!("../native/boundary.h");
        assert_eq!(enumerators(header, "effnet_status"), expected);
    }

    #[test]
    fn a_result_becomes_rusts() {
        assert_eq!(check(RawResult::OK), Ok(()));
        assert_eq!(check(RawResult::OUT_OF_MEMORY), Err(Failure::OutOfMemory));
        let failed = Failure::Message("a zero  byte".to_owned());
        assert_eq!(check(RawResult::failed("a zero \0byte")), Err(failed));
        let unknown = RawResult {
            status: 7,
            message: ptr::null_mut(),
        };
        assert!(matches!(check(unknown), Err(Failure::Message(text)) if text.contains("status 7 ")));
    }
}
