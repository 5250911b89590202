//! Exit and memory of the process.

use std::ffi::c_int;

/// Ends the process without running the destructors of libraries, which threads may still use. Nothing is flushed.
#[allow(unsafe_code)]
pub fn exit_at_once(code: u8) -> ! {
    // SAFETY: takes a number, may be called at any time by any thread, and does not return.
    unsafe { libc::_exit(c_int::from(code)) }
}

/// Physical memory of this process in bytes; `None` if the system does not report it.
pub fn resident_memory() -> Option<u64> {
    field("VmRSS:")
}

/// Peak physical memory of this process in bytes; `None` if the system does not report it.
pub(crate) fn peak_memory() -> Option<u64> {
    field("VmHWM:")
}

fn field(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes << 10)
}
