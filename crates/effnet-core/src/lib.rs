#![doc = include_str!("../README.md")]

mod error;
mod init;
mod layers;
mod load;
mod mbconv;
mod network;
mod tensors;

pub use effnet::{EfficientNetNames, LoadError, LoadOptions, LoadReport, Mismatch, Parameters, WrongShape};
pub use effnet_architecture::{BlockConfig, Config, Padding, Profile, StageConfig, Variant};
pub use error::Error;
pub use network::EfficientNet;
pub use tensors::{channels_last, from_torch, to_torch};
