#![doc = include_str!("../README.md")]

mod error;
mod index;
mod kernel;
mod npy;
mod pairs;
mod rows;
mod search;
mod sidecar;
mod writer;

pub use error::IndexError;
pub use index::FeatureIndex;
pub use kernel::normalize;
pub use pairs::nearest_rows;
pub use rows::RowReader;
pub use search::Neighbor;
pub use sidecar::{FileStamp, IndexSource};
pub use writer::IndexWriter;
