//! Losses of regression. The targets are [`Targets::Values`] `[N, outputs]`; the losses are averaged over images and
//! outputs.

use tch::{Reduction, Tensor};

use super::{Loss, values};
use crate::{Error, Targets};

/// The mean squared error, as defined by `torch.nn.MSELoss`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SquaredError;

impl Loss for SquaredError {
    fn loss(&self, outputs: &Tensor, targets: &Targets) -> Result<Tensor, Error> {
        let (outputs, values) = values(outputs, targets)?;
        Ok(outputs.f_mse_loss(&values, Reduction::Mean)?)
    }
}

/// The Huber loss, as defined by `torch.nn.HuberLoss`: half the squared error up to `delta`, and linear beyond it, so that
/// outliers count less.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Huber {
    delta: f64,
}

impl Default for Huber {
    /// Returns PyTorch's default, a delta of 1.
    fn default() -> Self {
        Self { delta: 1.0 }
    }
}

impl Huber {
    /// Creates a loss that is linear for errors beyond `delta`, which is above 0.
    ///
    /// # Errors
    /// [`Error::InvalidOption`].
    pub fn new(delta: f64) -> Result<Self, Error> {
        if delta.is_finite() && delta > 0.0 {
            Ok(Self { delta })
        } else {
            Err(Error::option("the delta of the Huber loss", "above 0", &delta))
        }
    }
}

impl Loss for Huber {
    fn loss(&self, outputs: &Tensor, targets: &Targets) -> Result<Tensor, Error> {
        let (outputs, values) = values(outputs, targets)?;
        Ok(outputs.f_huber_loss(&values, Reduction::Mean, self.delta)?)
    }
}
