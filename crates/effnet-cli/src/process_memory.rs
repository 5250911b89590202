//! The memory of this process.

/// Bytes of physical memory that this process holds now; `None` where the system does not tell.
pub(crate) fn resident() -> Option<u64> {
    field("VmRSS:")
}

/// The most that it held so far.
pub(crate) fn peak() -> Option<u64> {
    field("VmHWM:")
}

fn field(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes << 10)
}
