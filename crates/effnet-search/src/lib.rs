#![doc = include_str!("../README.md")]

mod error;
mod index;
mod kernel;
mod npy;
mod search;
mod sidecar;
mod writer;

pub use error::IndexError;
pub use index::FeatureIndex;
pub use kernel::normalize;
pub use search::Neighbor;
pub use sidecar::IndexSource;
pub use writer::IndexWriter;
