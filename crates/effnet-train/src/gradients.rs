//! The norm of all gradients, and clipping to it.

use libtorch_ext::foreach;
use tch::{Kind, Tensor};

use crate::Error;

/// The Euclidean norm of all gradients, taken as one vector.
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

/// Scales gradients with the global norm `norm` down to `max_norm` if it is larger, as
/// `torch.nn.utils.clip_grad_norm_` does.
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
