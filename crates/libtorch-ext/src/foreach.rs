//! Operations on lists of tensors, and the optimizers for which libtorch has fused kernels.
//!
//! Functions that do not return tensors modify the tensors in their first argument in place. If those are
//! parameters, call the function inside [`tch::no_grad`].

use tch::Tensor;

use crate::Error;
use crate::operator::{Value, call};

/// The hyperparameters of [`fused_sgd`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdConstants {
    /// Learning rate.
    pub lr: f64,
    /// Momentum: the factor by which the momentum buffer is multiplied in each step.
    pub momentum: f64,
    /// Whether to use Nesterov momentum.
    pub nesterov: bool,
    /// Weight decay (L2 penalty): this times the parameter is added to its gradient.
    pub weight_decay: f64,
}

/// Takes one step of SGD, like `torch.optim.SGD`, with all tensors in one kernel (`aten::_fused_sgd_`).
///
/// The lists must have equal lengths. Each gradient and buffer must have the shape **and the strides** of its
/// parameter, because the kernel runs over memory. `buffers` must be zeros before the first step; without
/// momentum, the list is empty.
///
/// # Errors
/// [`Error::Native`] when the lists do not match.
pub fn fused_sgd(
    parameters: &[Tensor],
    gradients: &[Tensor],
    buffers: &[Tensor],
    constants: SgdConstants,
) -> Result<(), Error> {
    let arguments = [
        Value::Tensors(parameters),
        Value::Tensors(gradients),
        Value::Tensors(buffers),
        Value::Float(constants.weight_decay),
        Value::Float(constants.momentum),
        Value::Float(constants.lr),
        Value::Float(0.0),
        Value::Bool(constants.nesterov),
        Value::Bool(false),
        // `is_first_step`: with buffers of zeros and no dampening, the first step is like any other.
        Value::Bool(false),
    ];
    call("aten::_fused_sgd_", "", &arguments).map(drop)
}

/// The hyperparameters of [`fused_adamw`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConstants {
    /// Learning rate.
    pub lr: f64,
    /// Decay rates of the two moving averages.
    pub betas: [f64; 2],
    /// Decoupled weight decay: this times the learning rate times the parameter is subtracted from the parameter.
    pub weight_decay: f64,
    /// Epsilon, added to the square root of the second-moment estimate.
    pub epsilon: f64,
}

/// The state of [`fused_adamw`], with one tensor per parameter in each list.
#[derive(Debug, Clone, Copy)]
pub struct AdamWState<'a> {
    /// Moving averages of the gradients, the first-moment estimates.
    pub exp_avgs: &'a [Tensor],
    /// Moving averages of the squared gradients, the second-moment estimates.
    pub exp_avg_sqs: &'a [Tensor],
    /// Step counts, as zero-dimensional 32-bit floats. The caller must increment them before the step.
    pub steps: &'a [Tensor],
}

/// Takes one step of AdamW, like `torch.optim.AdamW`, with all tensors in one kernel (`aten::_fused_adamw_`). The
/// same rules apply to the lists as in [`fused_sgd`].
///
/// # Errors
/// [`Error::Native`] when the lists do not match.
pub fn fused_adamw(
    parameters: &[Tensor],
    gradients: &[Tensor],
    state: AdamWState<'_>,
    constants: AdamWConstants,
) -> Result<(), Error> {
    let arguments = [
        Value::Tensors(parameters),
        Value::Tensors(gradients),
        Value::Tensors(state.exp_avgs),
        Value::Tensors(state.exp_avg_sqs),
        Value::Tensors(&[]),
        Value::Tensors(state.steps),
        Value::Float(constants.lr),
        Value::Float(constants.betas[0]),
        Value::Float(constants.betas[1]),
        Value::Float(constants.weight_decay),
        Value::Float(constants.epsilon),
        Value::Bool(false),
        Value::Bool(false),
    ];
    call("aten::_fused_adamw_", "", &arguments).map(drop)
}

/// Computes `target += weight * (other - target)`.
///
/// # Errors
/// [`Error::Native`] when the lists do not match.
pub fn lerp(targets: &[Tensor], others: &[Tensor], weight: f64) -> Result<(), Error> {
    let arguments = [
        Value::Tensors(targets),
        Value::Tensors(others),
        Value::Float(weight),
    ];
    call("aten::_foreach_lerp_", "Scalar", &arguments).map(drop)
}

/// Computes `target *= factor`.
///
/// # Errors
/// [`Error::Native`] when libtorch fails.
pub fn scale(targets: &[Tensor], factor: f64) -> Result<(), Error> {
    let arguments = [Value::Tensors(targets), Value::Float(factor)];
    call("aten::_foreach_mul_", "Scalar", &arguments).map(drop)
}

/// Computes `target += factor * other`.
///
/// # Errors
/// [`Error::Native`] when the lists do not match.
pub fn add(targets: &[Tensor], others: &[Tensor], factor: f64) -> Result<(), Error> {
    let arguments = [
        Value::Tensors(targets),
        Value::Tensors(others),
        Value::Float(factor),
    ];
    call("aten::_foreach_add_", "List", &arguments).map(drop)
}

/// Computes `target += other`, where `other` is a number.
///
/// # Errors
/// [`Error::Native`] when libtorch fails.
pub fn add_number(targets: &[Tensor], other: f64) -> Result<(), Error> {
    let arguments = [Value::Tensors(targets), Value::Float(other)];
    call("aten::_foreach_add_", "Scalar", &arguments).map(drop)
}

/// Computes `target += factor * a * b`.
///
/// # Errors
/// [`Error::Native`] when the lists do not match.
pub fn add_product(targets: &[Tensor], a: &[Tensor], b: &[Tensor], factor: f64) -> Result<(), Error> {
    let arguments = [
        Value::Tensors(targets),
        Value::Tensors(a),
        Value::Tensors(b),
        Value::Float(factor),
    ];
    call("aten::_foreach_addcmul_", "Scalar", &arguments).map(drop)
}

/// Computes `target += factor * a / b`.
///
/// # Errors
/// [`Error::Native`] when the lists do not match.
pub fn add_quotient(targets: &[Tensor], a: &[Tensor], b: &[Tensor], factor: f64) -> Result<(), Error> {
    let arguments = [
        Value::Tensors(targets),
        Value::Tensors(a),
        Value::Tensors(b),
        Value::Float(factor),
    ];
    call("aten::_foreach_addcdiv_", "Scalar", &arguments).map(drop)
}

/// Computes `target = sqrt(target)`.
///
/// # Errors
/// [`Error::Native`] when libtorch fails.
pub fn sqrt(targets: &[Tensor]) -> Result<(), Error> {
    call("aten::_foreach_sqrt_", "", &[Value::Tensors(targets)]).map(drop)
}

/// Returns `a + number` as new tensors.
///
/// # Errors
/// [`Error::Native`] when libtorch fails.
pub fn plus(a: &[Tensor], number: f64) -> Result<Vec<Tensor>, Error> {
    call(
        "aten::_foreach_add",
        "Scalar",
        &[Value::Tensors(a), Value::Float(number)],
    )
}

/// Returns `a + factor * b` as new tensors.
///
/// # Errors
/// [`Error::Native`] when the lists do not match.
pub fn sum(a: &[Tensor], b: &[Tensor], factor: f64) -> Result<Vec<Tensor>, Error> {
    let arguments = [Value::Tensors(a), Value::Tensors(b), Value::Float(factor)];
    call("aten::_foreach_add", "List", &arguments)
}

/// Returns the Euclidean norm of each tensor.
///
/// # Errors
/// [`Error::Native`] when libtorch fails.
pub fn norms(tensors: &[Tensor]) -> Result<Vec<Tensor>, Error> {
    call(
        "aten::_foreach_norm",
        "Scalar",
        &[Value::Tensors(tensors), Value::Float(2.0)],
    )
}

/// Multiplies `gradients` by `inverse_scale`, and sets `found_inf` to one if any gradient is infinite or NaN.
/// `found_inf` and `inverse_scale` have one element each.
///
/// # Errors
/// [`Error::Native`] when libtorch fails.
pub fn check_finite_and_unscale(
    gradients: &[Tensor],
    found_inf: &Tensor,
    inverse_scale: &Tensor,
) -> Result<(), Error> {
    let arguments = [
        Value::Tensors(gradients),
        Value::Tensor(found_inf),
        Value::Tensor(inverse_scale),
    ];
    call("aten::_amp_foreach_non_finite_check_and_unscale_", "", &arguments).map(drop)
}

/// Drops the gradients of the tensors, like PyTorch's `zero_grad(set_to_none=True)`. This frees their memory; the
/// next backward pass stores new gradients instead of adding to the old ones.
///
/// # Errors
/// [`Error::Native`] when libtorch fails.
pub fn clear_gradients(tensors: &[Tensor]) -> Result<(), Error> {
    crate::operator::clear_gradients(tensors)
}
