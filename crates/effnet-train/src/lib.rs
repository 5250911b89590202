#![doc = include_str!("../README.md")]

pub mod data;

mod agreement;
mod batch;
mod batch_size;
mod body;
mod checkpointer;
mod data_parallel;
mod distillation;
mod ema;
mod error;
mod features;
mod fit;
mod gradients;
mod loss;
mod metrics;
mod network;
mod optimizer;
mod parameters;
mod precision;
mod range_test;
mod restore;
mod schedule;
mod snapshot;
mod tch_network;
mod trainer;

/// Networks, their configurations and initialisations.
pub use effnet_core;
/// Data sets and their splits.
pub use effnet_data;
/// Images and their preprocessing.
pub use effnet_image;
/// The run folder: the crate `effnet-run`.
pub use effnet_run as run;
/// Memory and threads of libtorch.
pub use libtorch_ext;
/// libtorch's tensors and modules.
pub use tch;

pub use agreement::agree;

pub use batch::{Batch, Targets};
pub use batch_size::{activation_bytes, find_batch_size, step_fits};
pub use body::Body;
pub use checkpointer::{Checkpointer, THRESHOLDS};
pub use distillation::{Distillation, Teacher};
pub use ema::{Ema, EmaOptions};
pub use error::{Divergence, Error, FailedValidation};
pub use features::FeatureCache;
pub use fit::{Best, Ending, EpochReport, EpochStart, Fit, FitOptions, Observer, StepReport, fit};
pub use gradients::{clip_to_norm, global_norm};
pub use loss::{AsymmetricLoss, BinaryCrossEntropy, CrossEntropy, FocalLoss, Huber, Loss, SquaredError};
pub use metrics::{Measure, measure};
pub use network::Network;
pub use optimizer::{Optimizer, OptimizerKind};
pub use parameters::{Freeze, LayerRates, ParamGroupOptions, ParameterGroup};
pub use precision::{GradScaler, Precision};
pub use range_test::{RangeTest, RangeTestResult};
pub use run::Score;
pub use schedule::{Schedule, ScheduleShape, Warmup};
pub use snapshot::Snapshot;
pub use tch_network::TchNetwork;
pub use trainer::{Evaluator, Phase, Position, RunningLoss, Step, Trainer, TrainerOptions, TrainerState};
