//! Exit and memory usage of the process.

use std::ffi::c_int;

/// Ends the process without running library destructors, because threads may still be using the libraries. Nothing is
/// flushed.
#[allow(unsafe_code)]
pub fn exit_at_once(code: u8) -> ! {
    // SAFETY: `_exit` takes a number, may be called at any time by any thread, and does not return.
    unsafe { libc::_exit(c_int::from(code)) }
}

/// Returns the physical memory of this process in bytes, or `None` if the system does not report it.
pub fn resident_memory() -> Option<u64> {
    field("VmRSS:")
}

/// Returns the peak physical memory of this process in bytes, or `None` if the system does not report it.
pub(crate) fn peak_memory() -> Option<u64> {
    field("VmHWM:")
}

fn field(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes << 10)
}
