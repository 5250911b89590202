//! The Rust half of `native/boundary.h`: how a C++ function reports a failure, and how layouts are checked.
//!
//! An exception must not unwind into Rust, so every C++ function that can fail returns a [`RawResult`]: a [`Status`]
//! and, for a failure, a message. Out of memory is a status because callers react to it, with a smaller batch.
//!
//! This module is public for crates with C++ of their own that includes `boundary.h`. Each of them lists what crosses
//! its boundary in one C++ header and one Rust module, both with the layout of every structure.

use std::ffi::{CStr, CString, c_char};
use std::ptr;

unsafe extern "C" {
    fn effnet_failure(text: *const c_char) -> RawResult;
    fn effnet_free_message(message: *mut c_char);
}

/// How a C++ function ended: `effnet_status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    /// It did what it was asked to do.
    Ok = 0,
    /// It failed, for the reason in the message.
    Failed = 1,
    /// It could not allocate memory, of this machine or of a device.
    OutOfMemory = 2,
}

/// What a C++ function that can fail returns: `effnet_result`.
#[derive(Debug)]
#[repr(C)]
#[must_use]
pub struct RawResult {
    /// A [`Status`]. Not of that type, because C++ may write any number.
    status: i32,
    /// Null, or a C string that belongs to the library that made it.
    message: *mut c_char,
}

crate::assert_layout!(RawResult, size 16, alignment 8, { status: 0, message: 8 });

/// Why a C++ function failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Memory of this machine or of a device ran out.
    OutOfMemory,
    /// What the function says.
    Message(String),
}

impl RawResult {
    /// The success of a Rust function that C++ calls.
    pub const OK: Self = Self::without_message(Status::Ok);

    /// The failure of a Rust function that C++ calls, which could not allocate memory.
    pub const OUT_OF_MEMORY: Self = Self::without_message(Status::OutOfMemory);

    const fn without_message(status: Status) -> Self {
        Self {
            status: status as i32,
            message: ptr::null_mut(),
        }
    }

    /// The failure of a Rust function that C++ calls, with a message that C++ frees.
    pub fn failed(text: &str) -> Self {
        let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
        // SAFETY: a C string that outlives the call, which copies it.
        unsafe { effnet_failure(text.as_ptr()) }
    }

    /// Turns the result of C++ that is linked to this program into Rust's, and frees the message.
    ///
    /// # Errors
    /// [`Failure`] for every status other than [`Status::Ok`].
    ///
    /// # Safety
    /// The result must be that of a function of such C++ as it was returned, or of [`failed`](Self::failed).
    pub unsafe fn check(self) -> Result<(), Failure> {
        // SAFETY: by this function's contract; all C++ of a program shares the allocator of messages.
        unsafe { self.check_with(effnet_free_message) }
    }

    /// As [`check`](Self::check), for a library that was opened at run time, with its function `free`.
    ///
    /// # Errors
    /// [`Failure`] for every status other than [`Status::Ok`].
    ///
    /// # Safety
    /// The result must be that of a function of the library that `free` belongs to, as it was returned.
    pub unsafe fn check_with(self, free: unsafe extern "C" fn(message: *mut c_char)) -> Result<(), Failure> {
        const OK: i32 = Status::Ok as i32;
        const OUT_OF_MEMORY: i32 = Status::OutOfMemory as i32;
        let mut message = None;
        if !self.message.is_null() {
            // SAFETY: by this function's contract, a message that is not null is a C string.
            let text = unsafe { CStr::from_ptr(self.message) };
            message = Some(text.to_string_lossy().into_owned());
            // SAFETY: by this function's contract; what is kept of it is a copy.
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

/// Asserts at compile time the size and alignment of a `#[repr(C)]` structure and the offset of each of its fields, in
/// bytes. The structure's C++ header has the same numbers in `ASSERT_LAYOUT` and `ASSERT_OFFSET`.
///
/// All fields must be listed.
#[macro_export]
macro_rules! assert_layout {
    ($type:ident, size $size:literal, alignment $alignment:literal, { $($field:ident: $offset:literal),+ $(,)? }) => {
        const _: () = {
            // Compiles only if no field is missing.
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

/// The enumerators of `enum NAME` in the text of a C++ header, in order: names and the numbers that they are explicitly
/// given. For tests that compare them with those of Rust.
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
        // SAFETY: a result of `failed`, or one without a message.
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
