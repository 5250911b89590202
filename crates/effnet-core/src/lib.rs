#![doc = include_str!("../README.md")]

mod error;
mod fused;
mod gradients;
mod init;
mod layers;
mod load;
mod mbconv;
mod network;
mod pretrained;
mod tensors;

pub use effnet::{
    Checkpoint, EfficientNetNames, Endpoint, EvalTransform, Labels, LoadError, LoadOptions, LoadReport,
    Mismatch, ModelMetadata, ModelOptions, Parameters, PreprocessingOverrides, Progress, StateDict,
    WrongShape, Zoo,
};
pub use effnet_architecture::{
    Activation, BlockConfig, BlockKind, Config, Family, Padding, Profile, StageConfig, Variant,
};
pub use error::Error;
pub use gradients::LayerGradients;
pub use init::Initialisation;
pub use network::EfficientNet;
pub use pretrained::{Pretrained, PretrainedOptions, device};
pub use tensors::{channels_last, from_torch, to_torch};
