#![doc = include_str!("../README.md")]
// This crate calls C: every unsafe block says why it is sound.
#![allow(unsafe_code)]

mod autocast;
pub mod boundary;
mod cuda;
mod cuda_graph;
mod cuda_library;
mod error;
pub mod foreach;
mod operator;
mod process;
mod raw;
mod rows;
mod tensors;
pub mod training;

pub use autocast::autocast;
pub use cuda::{CopyStream, DeviceMemory, Download, allow_tf32, device_memory};
pub use cuda_graph::CudaGraph;
pub use effnet_kernels::keep_freed_memory;
pub use error::{Error, device_name, is_out_of_memory};
pub use operator::{Value, call};
pub use process::load_cuda;
pub use rows::{Row, RowBuffer};
pub use tensors::{concatenate, float_slice};
