#![doc = include_str!("../README.md")]

mod error;
mod gradients;
mod optimizer;
mod parameters;

pub use error::{Divergence, Error};
pub use gradients::{clip_to_norm, global_norm};
pub use optimizer::{Method, Optimizer};
pub use parameters::{Freeze, GroupOptions, LayerRates, ParameterGroup};
    Average, Batch, Phase, Position, RunningLoss, Step, Trainer, TrainerOptions, TrainerState,
};
