#![doc = include_str!("../README.md")]

mod checkpoint;
mod container;
mod dtype;
mod error;
mod mapped;
mod naming;
mod object;
mod pickle;
mod selection;
mod state_dict;
mod storage;
mod tensor;

pub use checkpoint::{Checkpoint, OpenOptions};
pub use container::Container;
pub use dtype::{DType, Unsupported};
pub use error::{Error, ErrorKind, TensorError};
pub use naming::{NamingError, Scheme, Signature};
pub use state_dict::StateDict;
pub use tensor::Tensor;
