#![doc = include_str!("../README.md")]

mod ema;
mod error;
mod gradients;
mod loss;
mod optimizer;
mod parameters;
mod precision;
mod schedule;

pub use ema::Ema;
pub use error::{Divergence, Error};
pub use gradients::{clip_to_norm, global_norm};
pub use loss::{CrossEntropy, Targets};
pub use optimizer::{Method, Optimizer};
pub use parameters::{Freeze, GroupOptions, LayerRates, ParameterGroup};
pub use precision::{GradScaler, Precision};
pub use schedule::{Course, Schedule, Warmup};
    Average, Batch, Phase, Position, RunningLoss, Step, Trainer, TrainerOptions, TrainerState,
};
