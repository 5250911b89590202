//! The exponential moving average of a network's weights, which usually classifies better than the network itself.

use effnet_checkpoint::StateDict;
use effnet_core::EfficientNet;
use libtorch_ext::foreach;
use tch::Tensor;

use crate::restore::restore_tensors;
use crate::{Error, Network};

/// Options of an [`Ema`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct EmaOptions {
    /// Decay of the average per step, in `[0, 1)`: the weight of the old average in each update. 0.9999 by
    /// default.
    pub decay: f64,
    /// Whether the decay is lower in the first steps, so that the initial weights do not dominate after a short
    /// training run. At update `n` (counting from one) it is then at most `(1 + n) / (10 + n)`, as in TensorFlow's
    /// `ExponentialMovingAverage` with `num_updates`. On by default.
    pub warmup: bool,
}

impl Default for EmaOptions {
    /// Returns the options of the reference implementation: a decay of 0.9999 with warm-up.
    fn default() -> Self {
        Self {
            decay: 0.9999,
            warmup: true,
        }
    }
}

impl EmaOptions {
    /// Sets [`decay`](Self::decay).
    #[must_use]
    pub fn with_decay(mut self, decay: f64) -> Self {
        self.decay = decay;
        self
    }

    /// Sets [`warmup`](Self::warmup).
    #[must_use]
    pub fn with_warmup(mut self, warmup: bool) -> Self {
        self.warmup = warmup;
        self
    }
}

/// An exponential moving average of a network's parameters and of its batch statistics.
///
/// It is a separate network on the same device, which can be evaluated and saved like any other. Counters are
/// copied, not averaged.
#[derive(Debug)]
pub struct Ema<N = EfficientNet> {
    network: N,
    decay: f64,
    warmup: bool,
    updates: u64,
    /// The averaged tensors, and their counterparts in the source network.
    averaged: [Vec<Tensor>; 2],
    copied: [Vec<Tensor>; 2],
}

impl<N: Network> Ema<N> {
    /// Creates an average that starts at `source` and follows it with each [`update`](Self::update).
    ///
    /// # Errors
    /// [`Error::InvalidOption`], [`Error::Network`] when memory runs out.
    pub fn new(source: &N, options: EmaOptions) -> Result<Self, Error> {
        let EmaOptions { decay, warmup } = options;
        if !(0.0..1.0).contains(&decay) {
            return Err(Error::option(
                "the decay of the EMA",
                "0 or more, less than 1",
                &decay,
            ));
        }
        let network = source.duplicate()?;
        let (mut averaged, mut copied) = ([const { Vec::new() }; 2], [const { Vec::new() }; 2]);
        for ((_, own), (_, theirs)) in network.named_tensors().zip(source.named_tensors()) {
            let own = own.f_set_requires_grad(false)?;
            let lists = if own.is_floating_point() {
                &mut averaged
            } else {
                &mut copied
            };
            lists[0].push(own);
            lists[1].push(theirs.shallow_clone());
        }
        Ok(Self {
            network,
            decay,
            warmup,
            updates: 0,
            averaged,
            copied,
        })
    }

    /// Returns the decay used at update `n` (counting from one).
    fn decay_at(&self, n: u64) -> f64 {
        let n = n as f64;
        if self.warmup {
            self.decay.min((1.0 + n) / (10.0 + n))
        } else {
            self.decay
        }
    }

    /// Moves the average towards the network: `average = decay * average + (1 - decay) * network`.
    ///
    /// # Errors
    /// [`Error::Native`], [`Error::Torch`].
    pub fn update(&mut self) -> Result<(), Error> {
        self.updates += 1;
        let weight = 1.0 - self.decay_at(self.updates);
        tch::no_grad(|| {
            let [own, theirs] = &self.averaged;
            foreach::lerp(own, theirs, weight)?;
            let [own, theirs] = &self.copied;
            for (own, theirs) in own.iter().zip(theirs) {
                own.shallow_clone().f_copy_(theirs)?;
            }
            Ok(())
        })
    }

    /// The averaged network.
    pub fn network(&self) -> &N {
        &self.network
    }

    /// The number of updates so far.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    pub(crate) fn set_updates(&mut self, updates: u64) {
        self.updates = updates;
    }

    /// Restores an average that was saved after `updates` updates.
    ///
    /// # Errors
    /// [`Error::StateMismatch`] if it is the average of a different network, in which case nothing is changed.
    pub fn restore(&mut self, updates: u64, weights: &StateDict) -> Result<(), Error> {
        restore_tensors(self.network.named_tensors(), weights, "the saved average")?;
        self.updates = updates;
        Ok(())
    }
}
