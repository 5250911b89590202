//! Labelled pictures, and batches of them.
//!
//! A [`Dataset`] is anything that gives pictures by number: [`ImageFolder`], [`CsvDataset`] and
//! [`TarDataset`] do, [`Splits::open`] finds out which one a path needs, and [`Subset`] is a part of
//! one.

mod archive;
mod classes;
mod dataset;
mod error;
mod folder;
mod layout;
mod open;
mod positional;
mod random;
mod split;
mod survey;
mod table;

pub use archive::{TarArchive, TarDataset};
pub use dataset::{BoxError, Dataset, Subset};
pub use error::{DataError, Listed};
pub use folder::ImageFolder;
pub use open::{Splits, open_evaluation};
pub use random::SampleRng;
pub use split::{by_class, stratified_split};
pub use survey::{Unreadable, survey};
pub use table::CsvDataset;
