//! The options of a trainer.

use crate::{
    CrossEntropy, Distillation, EmaOptions, Loss, OptimizerKind, ParamGroupOptions, Precision, Schedule,
};

/// A phase of a training run, with one optimizer and one schedule. The phase is as long as the schedule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Phase {
    /// The trained parameters, their learning rates and weight decay.
    pub groups: ParamGroupOptions,
    /// The optimizer, which starts with a fresh state.
    pub optimizer: OptimizerKind,
    /// The learning rate of each step, and its momentum, if it is not the optimizer's.
    pub schedule: Schedule,
}

/// Options shared by all phases.
#[derive(Debug)]
#[non_exhaustive]
pub struct TrainerOptions {
    /// The loss. By default, the cross-entropy.
    pub loss: Box<dyn Loss>,
    /// A teacher to distill from, in addition to the targets.
    pub distillation: Option<Distillation>,
    /// The precision of steps and evaluations.
    pub precision: Precision,
    /// The global norm to which gradients are clipped, if any.
    pub clip_norm: Option<f64>,
    /// Keeps an exponential moving average (EMA) of the weights, which is evaluated and exported instead of the
    /// weights.
    pub ema: Option<EmaOptions>,
    /// The seed for dropout and drop connect.
    pub seed: u64,
}

impl Default for TrainerOptions {
    /// Returns cross-entropy in 32-bit floats, without distillation, clipping and EMA.
    fn default() -> Self {
        Self {
            loss: Box::new(CrossEntropy::default()),
            distillation: None,
            precision: Precision::default(),
            clip_norm: None,
            ema: None,
            seed: 0,
        }
    }
}

impl TrainerOptions {
    /// Sets [`loss`](Self::loss).
    #[must_use]
    pub fn with_loss(mut self, loss: impl Loss + 'static) -> Self {
        self.loss = Box::new(loss);
        self
    }

    /// Sets [`distillation`](Self::distillation).
    #[must_use]
    pub fn with_distillation(mut self, distillation: impl Into<Option<Distillation>>) -> Self {
        self.distillation = distillation.into();
        self
    }

    /// Sets [`precision`](Self::precision).
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Sets [`clip_norm`](Self::clip_norm).
    #[must_use]
    pub fn with_clip_norm(mut self, clip_norm: impl Into<Option<f64>>) -> Self {
        self.clip_norm = clip_norm.into();
        self
    }

    /// Sets [`ema`](Self::ema).
    #[must_use]
    pub fn with_ema(mut self, ema: impl Into<Option<EmaOptions>>) -> Self {
        self.ema = ema.into();
        self
    }

    /// Sets [`seed`](Self::seed).
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}
