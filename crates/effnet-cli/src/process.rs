//! What concerns the process as a whole.

use std::ffi::c_int;

/// Ends the process without the destructors of libraries: threads may still be inside of them. Nothing is
/// flushed.
#[allow(unsafe_code)]
pub fn exit_at_once(code: u8) -> ! {
    // SAFETY: takes a number, may be called at any time by any thread, and does not return.
    unsafe { libc::_exit(c_int::from(code)) }
}

/// Bytes of physical memory that this process holds now; `None` where the system does not tell.
pub fn resident_memory() -> Option<u64> {
    field("VmRSS:")
}

/// The most physical memory that this process held so far, in bytes; `None` where the system does not tell.
pub(crate) fn peak_memory() -> Option<u64> {
    field("VmHWM:")
}

fn field(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes << 10)
}
