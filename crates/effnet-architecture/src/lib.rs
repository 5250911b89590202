#![doc = include_str!("../README.md")]

mod baseline;
mod complexity;
mod config;
mod error;
mod family;
mod named_enum;
mod naming;
mod parameters;
mod preprocessing;
mod profile;
mod task;
mod variant;

pub use baseline::{Baseline, BlockKind};
pub use config::{BlockConfig, Config, StageConfig};
pub use error::Error;
pub use family::{Activation, Family};
pub use naming::{
    ANCHORS, NamingError, Relative, Renaming, Scheme, Signature, TensorShapes, name_keras_layers,
    number_keras_layers,
};
pub use parameters::{CLASSIFIER, Parameter, ParameterKind, STEM};
pub use preprocessing::{CropMode, Interpolation, Precision, Preprocessing};
pub use profile::{Padding, Profile};
pub use task::Task;
pub use variant::Variant;
