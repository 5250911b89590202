#![doc = include_str!("../README.md")]

mod engine;
mod error;
mod fold;
mod operators;

pub use engine::{Engine, EngineConfig, Precision};
pub use error::Error;
