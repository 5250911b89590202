//! The sampler, which decides which images an epoch has, in which order and in which batches, in each of
//! several processes.
//!
//! The plan is computed only from the seed and the epoch. A resumed run therefore sees the same batches as an
//! uninterrupted one, and processes agree on their shards without communicating.

use std::ops::Range;

use rand::seq::SliceRandom as _;

use super::random::{Purpose, stream};

/// The order of the images in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// A new random order in each epoch, determined by the seed.
    #[default]
    Shuffled,
    /// The order of the data set, for evaluation.
    Sequential,
}

/// The share of each epoch that one of several processes works on (distributed training).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shard {
    /// Index of this process, from 0 to `world_size - 1`.
    pub rank: usize,
    /// The number of processes.
    pub world_size: usize,
}

impl Default for Shard {
    /// Returns the shard of a single process.
    fn default() -> Self {
        Self {
            rank: 0,
            world_size: 1,
        }
    }
}

/// The plan by which the images of a data set are divided into batches.
///
/// Images are dealt to the processes in turn. All processes have the same number of batches, so that they can
/// synchronise after each batch; a process with one image less has a smaller batch.
#[derive(Debug, Clone, Copy)]
pub struct EpochPlan {
    /// Images in the data set.
    pub length: usize,
    /// Images per batch; at least 1.
    pub batch_size: usize,
    /// Whether to drop the last batch if it is not full.
    pub drop_last: bool,
    /// The order of the images.
    pub order: Order,
    /// Seed of the order.
    pub seed: u64,
    /// The shard of this process.
    pub shard: Shard,
}

impl EpochPlan {
    /// Returns the number of batches per epoch, which is the same in every process.
    pub fn batches(&self) -> usize {
        if self.drop_last {
            (self.length / self.shard.world_size) / self.batch_size
        } else {
            let longest = self.length.div_ceil(self.shard.world_size);
            longest.div_ceil(self.batch_size)
        }
    }

    /// Returns the number of images of this process per epoch.
    fn images(&self) -> usize {
        let own = self.length.saturating_sub(self.shard.rank);
        let own = own.div_ceil(self.shard.world_size);
        if self.drop_last {
            own.min(self.batches() * self.batch_size)
        } else {
            own
        }
    }

    /// Returns the positions of a batch in [`EpochPlan::indices`].
    pub fn batch(&self, number: usize) -> Range<usize> {
        let start = number.checked_sub(1).map_or(0, |before| self.end(before));
        start..self.end(number)
    }

    fn end(&self, number: usize) -> usize {
        // Keep at least one image for each of the following batches.
        let following = self.batches().saturating_sub(number + 1);
        let most = self.images().saturating_sub(following);
        ((number + 1) * self.batch_size).min(most)
    }

    /// Returns the indices of this process's images, in the order of an epoch.
    pub fn indices(&self, epoch: u64) -> Vec<usize> {
        let mut indices: Vec<usize> = (0..self.length).collect();
        if self.order == Order::Shuffled {
            indices.shuffle(&mut stream(Purpose::Order, self.seed, epoch, 0));
        }
        let own = indices.into_iter().skip(self.shard.rank);
        own.step_by(self.shard.world_size).take(self.images()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(length: usize, batch_size: usize, world_size: usize) -> EpochPlan {
        EpochPlan {
            length,
            batch_size,
            drop_last: false,
            order: Order::Shuffled,
            seed: 7,
            shard: Shard { rank: 0, world_size },
        }
    }

    fn on_each_rank(plan: EpochPlan) -> Vec<EpochPlan> {
        let shard = |rank| Shard { rank, ..plan.shard };
        (0..plan.shard.world_size)
            .map(|rank| EpochPlan {
                shard: shard(rank),
                ..plan
            })
            .collect()
    }

    #[test]
    fn the_processes_together_have_every_image_once() {
        for (length, world_size) in [(10, 1), (10, 3), (12, 4), (5, 5), (1000, 7)] {
            let plans = on_each_rank(plan(length, 4, world_size));
            let mut indices: Vec<usize> = plans.iter().flat_map(|plan| plan.indices(3)).collect();
            indices.sort_unstable();
            assert!(indices.into_iter().eq(0..length), "{length} on {world_size}");
        }
    }

    #[test]
    fn batches_cover_what_a_process_has_and_none_is_empty() {
        for length in 1..40 {
            for batch_size in 1..9 {
                // A batch of one image cannot be smaller, see `LoaderOptions::check`.
                let uneven = |world_size: &usize| batch_size > 1 || length % world_size == 0;
                for world_size in (1..=length.min(5)).filter(uneven) {
                    for plan in on_each_rank(plan(length, batch_size, world_size)) {
                        let batches: Vec<_> = (0..plan.batches()).map(|number| plan.batch(number)).collect();
                        assert!(
                            batches
                                .iter()
                                .all(|batch| (1..=batch_size).contains(&batch.len())),
                            "{plan:?}"
                        );
                        let positions = batches.into_iter().flatten();
                        assert!(positions.eq(0..plan.indices(0).len()), "{plan:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn one_process_fills_all_batches_but_the_last() {
        let plan = plan(10, 4, 1);
        let sizes: Vec<usize> = (0..plan.batches())
            .map(|number| plan.batch(number).len())
            .collect();
        assert_eq!(sizes, [4, 4, 2]);
    }

    #[test]
    fn without_the_last_batch_all_are_full_and_as_many_everywhere() {
        for plan in on_each_rank(EpochPlan {
            drop_last: true,
            ..plan(23, 4, 2)
        }) {
            let sizes: Vec<usize> = (0..plan.batches())
                .map(|number| plan.batch(number).len())
                .collect();
            assert_eq!(sizes, [4, 4], "{plan:?}");
            assert_eq!(plan.indices(1).len(), 8);
        }
    }

    #[test]
    fn epochs_and_seeds_have_orders_of_their_own() {
        let orders = [(7, 0), (7, 1), (8, 0)].map(|(seed, epoch)| {
            let plan = EpochPlan {
                seed,
                ..plan(100, 4, 1)
            };
            assert_eq!(plan.indices(epoch), plan.indices(epoch));
            plan.indices(epoch)
        });
        assert!(orders[0] != orders[1] && orders[0] != orders[2] && orders[1] != orders[2]);
    }

    /// A run must resume with the order that it started with, even in a later build. If an update of `rand`
    /// changes the order, older checkpoints resume differently.
    #[test]
    fn an_order_is_what_it_always_was() {
        assert_eq!(plan(8, 4, 1).indices(2), [0, 2, 6, 7, 5, 3, 4, 1]);
    }
}
