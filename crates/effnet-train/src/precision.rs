//! Mixed-precision training.

use libtorch_ext::foreach;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::Error;

/// The precision of the forward and backward passes. Parameters, gradients and the optimizer stay in 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    Fp32,
    /// Convolutions and the classifier in bfloat16 (`torch.autocast`).
    Bf16,
    /// Convolutions and the classifier in 16-bit floats, on CUDA only. Small gradients would underflow, so a
    /// [`GradScaler`] scales the loss.
    Fp16,
}

impl Precision {
    /// The name used on the command line: `fp32`, `bf16` or `fp16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Bf16 => "bf16",
            Self::Fp16 => "fp16",
        }
    }

    /// Runs a forward pass in this precision. Call `backward` outside `forward`.
    ///
    /// # Errors
    /// [`Error::Native`] on a device without autocast.
    pub fn autocast<T>(self, device: Device, forward: impl FnOnce() -> T) -> Result<T, Error> {
        let kind = match self {
            Self::Fp32 => return Ok(forward()),
            Self::Bf16 => Kind::BFloat16,
            Self::Fp16 => Kind::Half,
        };
        Ok(libtorch_ext::autocast(device, kind, forward)?)
    }
}

/// Scales the loss so that fp16 gradients neither underflow nor overflow, with the constants of
/// `torch.amp.GradScaler`: the scale is halved after an overflow, and doubled after 2000 steps without one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GradScaler {
    scale: f64,
    /// The number of steps since the scale last changed.
    steady: u32,
}

impl Default for GradScaler {
    fn default() -> Self {
        Self {
            scale: 65536.0,
            steady: 0,
        }
    }
}

impl GradScaler {
    const GROWTH_INTERVAL: u32 = 2000;

    /// The current factor by which the loss is multiplied.
    pub fn factor(&self) -> f64 {
        self.scale
    }

    /// Returns the scaled loss, on which to call `backward`.
    ///
    /// # Errors
    /// [`Error::Torch`].
    pub fn scale(&self, loss: &Tensor) -> Result<Tensor, Error> {
        Ok(loss.f_mul_scalar(self.scale)?)
    }

    /// Divides the gradients by the factor, and returns whether all of them are finite. If not, skip the
    /// optimizer's step.
    ///
    /// # Errors
    /// [`Error::Native`], [`Error::Torch`].
    pub fn unscale(&self, gradients: &[Tensor]) -> Result<bool, Error> {
        let Some(first) = gradients.first() else {
            return Ok(true);
        };
        let options = (Kind::Float, first.device());
        let found_inf = Tensor::f_zeros([1], options)?;
        let inverse = Tensor::f_full([1], 1.0 / self.scale, options)?;
        tch::no_grad(|| foreach::check_finite_and_unscale(gradients, &found_inf, &inverse))?;
        Ok(found_inf.f_double_value(&[0])? == 0.0)
    }

    /// Updates the factor for the next step. Call it once after each [`unscale`](Self::unscale).
    pub fn update(&mut self, all_finite: bool) {
        if !all_finite {
            self.scale *= 0.5;
            self.steady = 0;
            return;
        }
        self.steady += 1;
        if self.steady == Self::GROWTH_INTERVAL {
            self.scale *= 2.0;
            self.steady = 0;
        }
    }
}
