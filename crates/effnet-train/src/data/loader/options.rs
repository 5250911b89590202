//! The options of a loader.

use effnet_data::{DataError, Order, Shard};

/// Options of a [`Loader`](super::Loader).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(
    clippy::struct_excessive_bools,
    reason = "switches that do not depend on each other"
)]
pub struct LoaderOptions {
    /// Number of images per batch, at least 1. 32 by default.
    pub batch_size: usize,
    /// Number of data-loading threads, at least 1. By default, one per core.
    pub workers: usize,
    /// Number of batches to decode ahead, at least 1. 2 by default.
    pub prefetch: usize,
    /// The order of the images. Shuffled by default.
    pub order: Order,
    /// The random seed for order and augmentation. 0 by default.
    pub seed: u64,
    /// Whether every epoch augments an image as the first one does. Off by default.
    pub repeat: bool,
    /// Whether to decode only what the transform [needs](effnet_data::Transform::needed) of each image. Off by default.
    pub partial: bool,
    /// Whether to drop an incomplete last batch.
    pub drop_last: bool,
    /// The images of this process. All images by default.
    pub shard: Shard,
    /// Whether an unreadable image ends the epoch with an error. Otherwise, such images are omitted from their
    /// batches and listed in [`Epoch::unreadable`](super::Epoch::unreadable).
    pub strict: bool,
}

impl Default for LoaderOptions {
    /// Returns the defaults: shuffled batches of 32 images, decoded 2 batches ahead on one thread per core.
    fn default() -> Self {
        Self {
            batch_size: 32,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            prefetch: 2,
            order: Order::Shuffled,
            seed: 0,
            repeat: false,
            partial: false,
            drop_last: false,
            shard: Shard::default(),
            strict: false,
        }
    }
}

impl LoaderOptions {
    /// Sets [`batch_size`](Self::batch_size).
    #[must_use]
    pub fn with_batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// Sets [`workers`](Self::workers).
    #[must_use]
    pub fn with_workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Sets [`prefetch`](Self::prefetch).
    #[must_use]
    pub fn with_prefetch(mut self, prefetch: usize) -> Self {
        self.prefetch = prefetch;
        self
    }

    /// Sets [`order`](Self::order).
    #[must_use]
    pub fn with_order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Sets [`seed`](Self::seed).
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets [`repeat`](Self::repeat).
    #[must_use]
    pub fn with_repeat(mut self, repeat: bool) -> Self {
        self.repeat = repeat;
        self
    }

    /// Sets [`partial`](Self::partial).
    #[must_use]
    pub fn with_partial(mut self, partial: bool) -> Self {
        self.partial = partial;
        self
    }

    /// Sets [`drop_last`](Self::drop_last).
    #[must_use]
    pub fn with_drop_last(mut self, drop_last: bool) -> Self {
        self.drop_last = drop_last;
        self
    }

    /// Sets [`shard`](Self::shard).
    #[must_use]
    pub fn with_shard(mut self, shard: Shard) -> Self {
        self.shard = shard;
        self
    }

    /// Sets [`strict`](Self::strict).
    #[must_use]
    pub fn with_strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    pub(super) fn check(&self, length: usize) -> Result<(), DataError> {
        let invalid = |expected, found: String| Err(DataError::Loader { expected, found });
        if self.batch_size == 0 || self.workers == 0 || self.prefetch == 0 {
            let found = format!("{}, {}, {}", self.batch_size, self.workers, self.prefetch);
            return invalid("`batch_size`, `workers` and `prefetch` of at least 1", found);
        }
        let Shard { rank, world_size } = self.shard;
        if rank >= world_size {
            return invalid(
                "a rank below the world size",
                format!("rank {rank} of {world_size}"),
            );
        }
        if length == 0 {
            return invalid("a data set with images", "an empty data set".to_owned());
        }
        if length < world_size {
            return invalid(
                "at least one image per process",
                format!("{length} images and {world_size} processes"),
            );
        }
        if self.batch_size == 1 && !self.drop_last && !length.is_multiple_of(world_size) {
            return invalid(
                "a batch size of at least 2 if the processes have different numbers of images",
                format!("1, with {length} images and {world_size} processes"),
            );
        }
        if self.drop_last && length / world_size < self.batch_size {
            return invalid(
                "a batch size of at most the number of images per process, because incomplete batches are dropped",
                format!(
                    "a batch size of {} for {} images",
                    self.batch_size,
                    length / world_size
                ),
            );
        }
        Ok(())
    }
}
