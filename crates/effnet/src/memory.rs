//! Memory available to this process.
//!
//! A batch that does not fit makes the system swap, or kill the process. The automatic batch size is
//! therefore limited by what Linux reports as available, and by the limits of the control groups that a
//! container runs in: `/proc/meminfo` alone shows the memory of the host.

use std::path::{Path, PathBuf};
use std::{fs, iter};

/// Memory in bytes that this process can still use without swapping: what Linux reports as available, or less
/// if a control group limits it. `None` on other systems.
pub fn available_memory() -> Option<u64> {
    available_below(Path::new("/"))
}

/// Like [`available_memory`], with `/proc` and `/sys` below `root`.
fn available_below(root: &Path) -> Option<u64> {
    let available = field(&root.join("proc/meminfo"), "MemAvailable:")? << 10;
    Some(control_groups(root).into_iter().fold(available, u64::min))
}

/// Memory available in each control group (version 1 or 2) of this process.
fn control_groups(root: &Path) -> Vec<u64> {
    let Ok(membership) = fs::read_to_string(root.join("proc/self/cgroup")) else {
        return Vec::new();
    };
    let mut available = Vec::new();
    for line in membership.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (mount, names) = match controllers {
            "" => ("sys/fs/cgroup", ["memory.max", "memory.current", "inactive_file"]),
            "memory" => (
                "sys/fs/cgroup/memory",
                [
                    "memory.limit_in_bytes",
                    "memory.usage_in_bytes",
                    "total_inactive_file",
                ],
            ),
            _ => continue,
        };
        let mount = root.join(mount);
        let group = mount.join(path.trim_start_matches('/'));
        // The limits of all parent groups apply too; a container may see only the topmost one.
        let groups = iter::successors(Some(group.as_path()), |group| {
            group.parent().filter(|parent| parent.starts_with(&mount))
        });
        available.extend(groups.filter_map(|group| available_in(group, names)));
    }
    available
}

/// The limit of a group minus its usage, not counting cached files, which are evicted when memory is needed.
fn available_in(group: &Path, [limit, usage, cached]: [&str; 3]) -> Option<u64> {
    let number = |file: PathBuf| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let limit = number(group.join(limit))?;
    let used = number(group.join(usage))?;
    let cached = field(&group.join("memory.stat"), cached).unwrap_or(0);
    Some(limit.saturating_sub(used.saturating_sub(cached)))
}

/// The number after `name` on a line of `file`.
fn field(file: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(name)).then(|| words.next()?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal: 900 kB\nMemAvailable:     500 kB\n");

    #[test]
    fn without_a_limit_it_is_what_linux_calls_available() {
        let root = system(&[
            MEMINFO,
            ("proc/self/cgroup", "0::/user\n"),
            ("sys/fs/cgroup/user/memory.max", "max\n"),
            ("sys/fs/cgroup/user/memory.current", "1000\n"),
        ]);
        assert_eq!(available_below(root.path()), Some(500 << 10));
    }

    #[test]
    fn a_limit_of_a_group_above_counts_and_cached_files_are_free() {
        let root = system(&[
            MEMINFO,
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/a/memory.max", "300000\n"),
            ("sys/fs/cgroup/a/memory.current", "200000\n"),
            ("sys/fs/cgroup/a/memory.stat", "anon 5\ninactive_file 50000\n"),
            ("sys/fs/cgroup/a/b/memory.max", "max\n"),
        ]);
        assert_eq!(available_below(root.path()), Some(150_000));
    }

    #[test]
    fn version_1_of_control_groups_is_read_too() {
        let root = system(&[
            MEMINFO,
            ("proc/self/cgroup", "5:cpu:/x\n4:memory:/docker/1\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "100000\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "90000\n"),
        ]);
        assert_eq!(available_below(root.path()), Some(10_000));
    }
}
