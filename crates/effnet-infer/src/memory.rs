//! How much memory there is, and how many images fit a batch.

use std::path::{Path, PathBuf};
use std::{fs, iter};

use effnet_core::Config;

/// Bytes that a network takes for its activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryNeed {
    /// Whatever the batch.
    pub fixed: u64,
    /// For each image of the batch.
    pub per_image: u64,
}

impl MemoryNeed {
    /// What the network takes through libtorch's own modules, in 32-bit floats, without gradients:
    /// at its widest point, the expanded activations six times, as convolved (in oneDNN's layout and
    /// in the plain one), normalised, activated and padded.
    pub fn of_modules(config: &Config, [height, width]: [i64; 2]) -> Self {
        let halved = |size: i64, stride: i64| (size + stride - 1) / stride;
        let (mut rows, mut columns) = (halved(height, 2), halved(width, 2));
        let mut widest = rows * columns * config.stem_channels();
        for block in config.blocks() {
            widest = widest.max(rows * columns * block.expanded_channels());
            (rows, columns) = (halved(rows, block.stride), halved(columns, block.stride));
        }
        Self {
            fixed: 0,
            per_image: 6 * 4 * widest as u64,
        }
    }
}

/// What decides how large a batch should be.
#[derive(Debug, Clone, Copy)]
pub struct BatchDemand {
    /// The network's activations.
    pub activations: MemoryNeed,
    /// One decoded image, `[3, H, W]` in 32-bit floats.
    pub image_bytes: u64,
    /// Multiply-accumulate operations for one image.
    pub multiply_accumulates: u64,
    /// Threads that compute.
    pub threads: usize,
}

/// Images for each thread beyond which the fused network was measured to gain nothing (B0, B3).
const IMAGES_PER_THREAD: u64 = 8;

/// Operations for each thread in one call: about half a second on a processor with AVX-512, since
/// results come, and an interrupt is obeyed, between calls.
const OPERATIONS_PER_THREAD: u64 = 40_000_000_000;

/// How many threads a device counts for: 128 images at most. This was not measured.
const DEVICE_AS_THREADS: usize = 16;

impl BatchDemand {
    /// The batch that uses all threads, within half of the `available` bytes; at least 1.
    ///
    /// A [`Pipeline`](crate::Pipeline) holds up to three batches of decoded images: in the network,
    /// gathered for the next call, and ahead of that.
    pub fn batch_size(&self, available: Option<u64>) -> usize {
        let per_thread =
            (OPERATIONS_PER_THREAD / self.multiply_accumulates.max(1)).clamp(1, IMAGES_PER_THREAD);
        let wanted = per_thread.saturating_mul(self.threads as u64);
        let each = self.activations.per_image + 3 * self.image_bytes;
        let fitting = available.map_or(u64::MAX, |available| {
            (available / 2).saturating_sub(self.activations.fixed) / each.max(1)
        });
        wanted.min(fitting).max(1) as usize
    }

    /// As [`batch_size`](Self::batch_size), where activations lie on a device that has `free` bytes
    /// left and computes instead of the threads.
    pub fn batch_size_on_device(&self, available: Option<u64>, free: u64) -> usize {
        let on_device = Self {
            threads: DEVICE_AS_THREADS,
            ..*self
        };
        let decoded = Self {
            activations: MemoryNeed {
                fixed: 0,
                per_image: 0,
            },
            ..on_device
        };
        on_device
            .batch_size(Some(free))
            .min(decoded.batch_size(available))
    }
}

/// Bytes that this process can still take without pushing anything out: what Linux calls available,
/// or less where a control group allows less. `None` on other systems.
pub fn available_memory() -> Option<u64> {
    available_below(Path::new("/"))
}

/// As [`available_memory`], of the system whose `/proc` and `/sys` lie below `root`.
fn available_below(root: &Path) -> Option<u64> {
    let available = field(&root.join("proc/meminfo"), "MemAvailable:")? << 10;
    Some(control_groups(root).into_iter().fold(available, u64::min))
}

/// What is left in each control group that this process is in, for versions 1 and 2.
fn control_groups(root: &Path) -> Vec<u64> {
    let Ok(membership) = fs::read_to_string(root.join("proc/self/cgroup")) else {
        return Vec::new();
    };
    let mut left = Vec::new();
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
        // A limit of any group above counts too; a container may see only the topmost.
        let groups = iter::successors(Some(group.as_path()), |group| {
            group.parent().filter(|parent| parent.starts_with(&mount))
        });
        left.extend(groups.filter_map(|group| left_in(group, names)));
    }
    left
}

/// The limit of a group less what is used of it; cached files are given up when memory is short.
fn left_in(group: &Path, [limit, usage, cached]: [&str; 3]) -> Option<u64> {
    let number = |file: PathBuf| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let limit = number(group.join(limit))?;
    let used = number(group.join(usage))?;
    let cached = field(&group.join("memory.stat"), cached).unwrap_or(0);
    Some(limit.saturating_sub(used.saturating_sub(cached)))
}

/// The number after `name` on its line.
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

    #[test]
    fn the_batch_is_bounded_by_memory_by_threads_and_by_time() {
        let small = BatchDemand {
            activations: MemoryNeed {
                fixed: 1000,
                per_image: 70,
            },
            image_bytes: 10,
            multiply_accumulates: 400_000_000,
            threads: 2,
        };
        assert_eq!(small.batch_size(None), 16);
        assert_eq!(small.batch_size(Some(1 << 30)), 16);
        assert_eq!(small.batch_size(Some(2 * (1000 + 599))), 5);
        assert_eq!(small.batch_size(Some(0)), 1);
        assert_eq!(small.batch_size_on_device(None, 1 << 30), 128);
        assert_eq!(small.batch_size_on_device(None, 2 * (1000 + 599)), 5);
        assert_eq!(small.batch_size_on_device(Some(2 * 299), 1 << 30), 9);
        let large = BatchDemand {
            multiply_accumulates: 37_700_000_000,
            threads: 6,
            ..small
        };
        assert_eq!(large.batch_size(None), 6);
    }
}
