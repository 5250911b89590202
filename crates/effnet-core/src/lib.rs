#![doc = include_str!("../README.md")]

mod complexity;
mod config;
mod error;
mod init;
mod layers;
mod load;
mod mbconv;
mod network;
mod profile;
mod tensors;
mod variant;

pub use config::{BlockConfig, Config, StageConfig};
pub use error::{Error, Mismatch, WrongShape};
pub use load::{LoadOptions, LoadReport};
pub use network::EfficientNet;
pub use profile::{Padding, Profile};
pub use tensors::{channels_last, from_torch, to_torch};
pub use variant::Variant;
