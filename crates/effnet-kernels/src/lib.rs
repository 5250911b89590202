#![doc = include_str!("../README.md")]
// This crate wraps C++: every call says why it is sound.
#![allow(unsafe_code)]

pub mod boundary;
mod context;
mod error;
mod layers;
mod memory;
mod network;
mod raw;
mod spec;
mod timing;

pub use context::Context;
pub use error::Error;
pub use layers::{Activation, Block, Convolution, Layers, Padding, SqueezeExcite};
pub use memory::keep_freed_memory;
pub use network::{
    ActivationMemory, Endpoint, InstructionSet, Network, NetworkOptions, Output, has_bf16_instructions,
};
pub use timing::Layer;
