#![doc = include_str!("../README.md")]

mod error;
mod file;
mod filter;
mod graph;
mod model;
mod network;
mod options;
mod preprocessing;
mod protobuf;

pub use error::ExportError;
pub use model::{Export, ExportReport};
pub use options::{ExportInput, ExportOptions, ExportOutput, check_extension};
