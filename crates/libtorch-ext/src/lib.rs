#![doc = include_str!("../README.md")]
// The one crate that calls C: every such place says why it is sound.
#![allow(unsafe_code)]

mod error;
mod network;
mod process;
mod raw;

pub use error::Error;
pub use network::{
    Convolution, FusedBlock, FusedNetwork, InstructionSet, NetworkParts, Padding, Part, Precision,
    has_bf16_instructions,
};
pub use process::{keep_freed_memory, load_cuda};
