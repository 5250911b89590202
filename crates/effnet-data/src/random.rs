//! Counter-based random streams for splits, shuffling and augmentation.
//!
//! Each stream is keyed by its purpose, the seed, the epoch and an index. No stream depends on how many
//! numbers were drawn before, so neither the number of threads nor resuming in the middle of a run changes
//! the data.

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

/// The random number generator for augmentation. It is portable: it returns the same numbers on every
/// machine.
pub type SampleRng = ChaCha8Rng;

/// The purpose of a random stream. Streams with different purposes are independent.
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

/// Returns the random stream for one purpose, epoch and index.
///
/// The arguments form the key of the ChaCha8 cipher, so a stream depends neither on what was drawn before,
/// nor on the number of threads, nor on where a run was resumed.
pub fn stream(purpose: Purpose, seed: u64, epoch: u64, number: u64) -> SampleRng {
    let mut key = [0; 32];
    let parts = [seed, epoch, number, purpose as u64];
    for (bytes, part) in key.as_chunks_mut::<8>().0.iter_mut().zip(parts) {
        *bytes = part.to_le_bytes();
    }
    SampleRng::from_seed(key)
}
