#![doc = include_str!("../README.md")]

mod budget;
mod calls;
mod cast;
mod checkpoint;
mod container;
mod dtype;
mod error;
mod geometry;
mod mapped;
mod object;
mod pickle;
mod positional;
mod quote;
mod search;
mod selection;
mod state_dict;
mod storage;
mod tensor;
mod write;

pub use budget::Work;
pub use checkpoint::{Checkpoint, OpenOptions};
pub use container::Container;
pub use dtype::{DType, Unsupported};
pub use error::{Error, ErrorKind, TensorError};
pub use positional::{read_at, read_exact_at};
pub use quote::quote_list;
pub use selection::Layer;
pub use state_dict::{StateDict, StateDictIntoIter, StateDictIter};
pub use tensor::Tensor;
pub use write::{
    AtomicFile, PARTIAL_SUFFIX, PairError, WriteError, WriteOptions, commit_pair, follow_links, write_pth,
    write_safetensors,
};
