//! Labelled pictures, and batches of them.
//!
//! A [`Dataset`] is anything that gives pictures by number: [`ImageFolder`], [`CsvDataset`] and
//! [`TarDataset`] do, [`Splits::open`] finds out which one a path needs, and [`Subset`] is a part of
//! one. A [`Loader`] decodes and transforms ahead on several threads and gives [`Batch`]es whose order
//! and augmentation follow from a seed alone. [`Mixup`] mixes a batch.

mod archive;
mod classes;
mod dataset;
mod error;
mod folder;
mod layout;
mod loader;
mod mix;
mod open;
mod order;
mod positional;
mod random;
mod split;
mod survey;
mod table;
mod transform;

pub use archive::{TarArchive, TarDataset};
pub use dataset::{BoxError, Dataset, Subset};
pub use error::{DataError, Listed};
pub use folder::ImageFolder;
pub use loader::{Batch, Epoch, Loader, LoaderOptions};
pub use mix::{Mixing, Mixup};
pub use open::{Splits, open_evaluation};
pub use order::{Order, Shard};
pub use random::SampleRng;
pub use split::{by_class, stratified_split};
pub use survey::{Unreadable, survey};
pub use table::CsvDataset;
pub use transform::Transform;
