//! What a trainer is told.

use crate::{CrossEntropy, Distillation, OptimizerKind, ParamGroupOptions, Precision, Schedule};

/// A stretch of training with one optimizer and one schedule, whose steps it lasts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Phase {
    /// Which parameters are trained, and how fast.
    pub groups: ParamGroupOptions,
    /// The optimizer, which begins anew.
    pub optimizer: OptimizerKind,
    /// The rate of each step.
    pub schedule: Schedule,
}

/// What stays the same over all phases.
#[derive(Debug, Default)]
pub struct TrainerOptions {
    /// What is minimised.
    pub loss: CrossEntropy,
    /// A teacher to learn from, beside the targets.
    pub distillation: Option<Distillation>,
    /// What steps and evaluations compute in.
    pub precision: Precision,
    /// Gradients with a larger global norm are scaled down to this one.
    pub clip_norm: Option<f64>,
    /// Keeps an average of the network, which is evaluated and saved in its place.
    pub ema: Option<EmaOptions>,
    /// Decides all that the network draws: dropout and drop connect.
    pub seed: u64,
}

/// The arguments of [`Ema::new`](crate::Ema::new).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EmaOptions {
    /// What remains of the average at an update; the reference implementation's 0.9999.
    pub decay: f64,
    /// Whether it remembers less in the beginning.
    pub warmup: bool,
}
