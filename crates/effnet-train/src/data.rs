//! Batches of labelled images.
//!
//! A [`Loader`] prefetches the images of an [`effnet_data::Dataset`] on several threads, and yields [batches](crate::Batch)
//! whose order and augmentation depend only on the seed. [`Mixup`] applies mixup and cutmix to a batch.

mod loader;
mod mix;

pub use loader::{Epoch, Loader, LoaderOptions};
pub use mix::{Mixing, Mixup};
