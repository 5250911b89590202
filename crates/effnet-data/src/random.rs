//! Where all randomness of the data comes from.

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

/// The generator that augmentation draws from: its numbers are the same on every machine.
pub type SampleRng = ChaCha8Rng;

/// What a stream of numbers is for; different purposes share no numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Parting a data set; the number is that of the class.
    Split = 1,
    /// The order of an epoch.
    Order = 2,
    /// The augmentation of a picture; the number is its index.
    Sample = 3,
    /// Mixing the images of a batch; the number is that of the batch.
    Mix = 4,
}

/// The generator for one thing of one epoch.
///
/// The key of the cipher says which, so that a stream depends on nothing that happened before: not on
/// the number of threads, and not on where a run was taken up again.
pub fn stream(purpose: Purpose, seed: u64, epoch: u64, number: u64) -> SampleRng {
    let mut key = [0; 32];
    let parts = [seed, epoch, number, purpose as u64];
    for (bytes, part) in key.as_chunks_mut::<8>().0.iter_mut().zip(parts) {
        *bytes = part.to_le_bytes();
    }
    SampleRng::from_seed(key)
}
