//! The global norm of all gradients, and gradient clipping by that norm.

use libtorch_ext::foreach;
use tch::{Kind, Tensor};

use crate::Error;

/// Computes the Euclidean norm of all gradients, taken as one vector.
///
/// # Errors
/// [`Error::Native`], [`Error::Torch`].
pub fn global_norm(gradients: &[Tensor]) -> Result<f64, Error> {
    if gradients.is_empty() {
        return Ok(0.0);
    }
    tch::no_grad(|| {
        let norms = Tensor::f_stack(&foreach::norms(gradients)?, 0)?;
        let norm = norms.f_to_kind(Kind::Float)?.f_norm()?;
        Ok(norm.f_double_value(&[])?)
    })
}

/// Scales gradients down to the global norm `max_norm` if their global norm, `norm`, is larger, like
/// `torch.nn.utils.clip_grad_norm_`.
///
/// # Errors
/// [`Error::Native`].
pub fn clip_to_norm(gradients: &[Tensor], norm: f64, max_norm: f64) -> Result<(), Error> {
    let factor = max_norm / (norm + 1e-6);
    if factor < 1.0 && !gradients.is_empty() {
        tch::no_grad(|| foreach::scale(gradients, factor))?;
    }
    Ok(())
}
