#![doc = include_str!("../README.md")]

mod commands;
mod cuda;
mod device;
mod engine;
mod error;
mod operators;
mod pending;
mod plain;
mod training;

pub use commands::Torch;
pub use effnet_architecture::Precision;
pub use engine::{Engine, EngineOptions};
pub use error::Error;
pub use pending::Pending;
