//! Batches of labelled images.
//!
//! A [`Loader`] prefetches the images of an [`effnet_data::Dataset`] on several threads, and yields
//! [batches](crate::Batch) whose order and augmentation depend only on the seed. [`Mixup`] applies mixup and cutmix to
//! a batch. [`ImageBatches`] combines them into what [`fit`](crate::fit) trains on.

mod image_batches;
mod loader;
mod mix;
mod source;

pub use image_batches::{ImageBatches, Steps, Validation};
pub use loader::{Epoch, Loader, LoaderOptions};
pub use mix::{Mixing, Mixup};
pub use source::FitData;
