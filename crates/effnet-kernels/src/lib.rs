#![doc = include_str!("../README.md")]
// This crate wraps C++: every call says why it is sound.
#![allow(unsafe_code)]

pub mod boundary;
mod error;
mod layers;
mod memory;
mod network;
mod raw;
mod spec;

pub use error::Error;
pub use layers::{Activation, Block, Convolution, Layers, Padding, SqueezeExcite};
pub use memory::keep_freed_memory;
pub use network::{
    ActivationMemory, Context, Endpoint, InstructionSet, Layer, Network, NetworkOptions, Output,
    has_bf16_instructions,
};
