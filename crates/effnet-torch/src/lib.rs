#![doc = include_str!("../README.md")]

mod commands;
mod cuda;
mod device;
mod engine;
mod error;
mod gradients;
mod operators;
mod pending;
mod plain;
mod training;

pub use commands::Torch;
pub use effnet_architecture::Precision;
pub use engine::{Engine, EngineOptions};
pub use error::Error;
pub use gradients::GradientNetwork;
pub use pending::Pending;
