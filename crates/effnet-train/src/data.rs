//! Batches of labelled images.
//!
//! A [`Loader`] decodes and transforms the images of an [`effnet_data::Dataset`] ahead on several threads and
//! gives [`Batch`]es whose order and augmentation follow from a seed alone. [`Mixup`] mixes a batch.

mod loader;
mod mix;

pub use loader::{Batch, Epoch, Loader, LoaderOptions};
pub use mix::{Mixing, Mixup};
