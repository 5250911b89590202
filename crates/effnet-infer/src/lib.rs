#![doc = include_str!("../README.md")]

mod cuda;
mod engine;
mod error;
mod fold;
mod memory;
mod operators;
mod pending;
mod pipeline;

pub use engine::{Engine, EngineConfig, Precision};
pub use error::Error;
pub use libtorch_ext::Part;
pub use memory::{BatchDemand, MemoryNeed, available_memory};
pub use pending::Pending;
pub use pipeline::{BoxError, InputError, Output, Pipeline, Reader, Runner, Source};
