//! Counter-based random streams for splits, shuffling and augmentation.
//!
//! Each stream is keyed by what it is for, the seed, the epoch and an index. Nothing depends on how many
//! numbers were drawn before, so the number of threads, or resuming in the middle of a run, does not change the
//! data.

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

/// The random number generator of augmentation; portable: the same numbers on every machine.
pub type SampleRng = ChaCha8Rng;

/// What a random stream is used for. Streams of different purposes are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The train/validation split; `number` is the class.
    Split = 1,
    /// The order of an epoch; `number` is 0.
    Order = 2,
    /// The augmentation of an image; `number` is its index.
    Sample = 3,
    /// Mixing the images of a batch (mixup, CutMix); `number` is the batch.
    Mix = 4,
}

/// The random stream for one purpose, epoch and index.
///
/// The arguments form the key of the ChaCha8 cipher, so a stream does not depend on what was drawn before:
/// neither on the number of threads nor on where a run was resumed.
pub fn stream(purpose: Purpose, seed: u64, epoch: u64, number: u64) -> SampleRng {
    let mut key = [0; 32];
    let parts = [seed, epoch, number, purpose as u64];
    for (bytes, part) in key.as_chunks_mut::<8>().0.iter_mut().zip(parts) {
        *bytes = part.to_le_bytes();
    }
    SampleRng::from_seed(key)
}
