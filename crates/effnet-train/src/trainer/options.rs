//! The options of a trainer.

use crate::{CrossEntropy, Distillation, OptimizerKind, ParamGroupOptions, Precision, Schedule};

/// A part of the training with one optimizer and one schedule, whose length it has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Phase {
    /// The trained parameters, their learning rates and weight decay.
    pub groups: ParamGroupOptions,
    /// The optimizer, which starts with a fresh state.
    pub optimizer: OptimizerKind,
    /// The learning rate of each step.
    pub schedule: Schedule,
}

/// Options shared by all phases.
#[derive(Debug, Default)]
pub struct TrainerOptions {
    /// The loss.
    pub loss: CrossEntropy,
    /// A teacher to distill from, in addition to the targets.
    pub distillation: Option<Distillation>,
    /// The precision of steps and evaluations.
    pub precision: Precision,
    /// Clips the gradients to this global norm.
    pub clip_norm: Option<f64>,
    /// Keeps an exponential moving average (EMA) of the weights, which is evaluated and exported instead of them.
    pub ema: Option<EmaOptions>,
    /// The seed of dropout and drop connect.
    pub seed: u64,
}

/// The arguments of [`Ema::new`](crate::Ema::new).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EmaOptions {
    /// Decay of the average per step; 0.9999 in the reference implementation.
    pub decay: f64,
    /// Whether the decay is lower in the first steps.
    pub warmup: bool,
}
