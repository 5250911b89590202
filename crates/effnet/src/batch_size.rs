//! The automatic batch size.
//!
//! A batch should occupy all threads, fit into memory and finish soon enough that Ctrl-C is not ignored for
//! seconds. Users cannot know which size does so for each variant and machine, so it is computed here from
//! the cost of the network and the available memory.

use effnet_architecture::Config;

use crate::{Backend, BackendError};

/// Memory for the activations of a network, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryNeed {
    /// Memory that does not depend on the batch size.
    pub fixed: u64,
    /// Memory per image in the batch.
    pub per_image: u64,
}

impl MemoryNeed {
    /// Estimates the memory for inference with libtorch's own modules and 32-bit floats: at the widest point
    /// of the network, six copies of the expanded activations, among them the convolved (in oneDNN's layout
    /// and in the plain one), normalised, activated and padded ones. `size` is `[height, width]` in pixels.
    pub fn of_modules(config: &Config, size: [usize; 2]) -> Self {
        let [mut rows, mut columns] = size.map(|side| side.div_ceil(2));
        let mut widest = rows * columns * config.stem_channels();
        for block in config.blocks() {
            widest = widest.max(rows * columns * block.expanded_channels());
            (rows, columns) = (rows.div_ceil(block.stride), columns.div_ceil(block.stride));
        }
        Self {
            fixed: 0,
            per_image: 6 * 4 * widest as u64,
        }
    }
}

/// The quantities that determine the batch size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchDemand {
    /// Memory for the network's activations.
    pub activations: MemoryNeed,
    /// Size in bytes of one decoded image, `[3, H, W]` as 32-bit floats.
    pub image_bytes: u64,
    /// Number of multiply-accumulate operations per image.
    pub multiply_accumulates: u64,
    /// Number of compute threads.
    pub threads: usize,
}

/// Images per thread; in measurements (B0, B3), more did not make the fused network any faster.
const IMAGES_PER_THREAD: u64 = 8;

/// Multiply-accumulates per thread and call: about half a second on a processor with AVX-512. Results and
/// interrupts are handled only between calls.
const OPERATIONS_PER_THREAD: u64 = 40_000_000_000;

/// Number of threads that a device counts as, which allows up to 128 images. Not measured.
const DEVICE_AS_THREADS: usize = 16;

impl BatchDemand {
    /// Returns the demand of `backend`, which runs the network of `config`, for images of `side` x `side`
    /// pixels.
    ///
    /// # Errors
    /// Same as [`Backend::memory_need`].
    pub fn new(
        backend: &(impl Backend + ?Sized),
        config: &Config,
        side: usize,
        threads: usize,
    ) -> Result<Self, BackendError> {
        Ok(Self {
            activations: backend.memory_need([side; 2])?,
            image_bytes: 3 * 4 * (side as u64).pow(2),
            multiply_accumulates: config.multiply_accumulates([side; 2]),
            threads,
        })
    }

    /// Returns the batch size that occupies all threads and fits into half of the `available` bytes; at least
    /// 1.
    ///
    /// A [`Pipeline`](crate::Pipeline) holds up to three batches of decoded images: one in the network, one
    /// gathered for the next call, and one decoded ahead.
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

    /// Like [`batch_size`](Self::batch_size), but for a device that computes in place of the CPU threads and holds the
    /// activations in its `free` bytes of memory.
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

#[cfg(test)]
mod tests {
    use super::*;

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
