//! RMSProp with TensorFlow's semantics, for which libtorch does not have a fused kernel.

use libtorch_ext::foreach;
use tch::Tensor;

use crate::Error;

#[derive(Debug, Clone, Copy)]
pub(super) struct Constants {
    pub(super) lr: f64,
    pub(super) decay: f64,
    pub(super) momentum: f64,
    pub(super) epsilon: f64,
    pub(super) weight_decay: f64,
}

/// Moves `square_avg` towards the gradient's square, sets the buffer to `momentum * buffer + lr * gradient /
/// sqrt(square_avg + epsilon)`, and subtracts it from the parameter.
pub(super) fn step(
    parameters: &[Tensor],
    gradients: &[Tensor],
    square_avgs: &[Tensor],
    buffers: &[Tensor],
    constants: Constants,
) -> Result<(), Error> {
    let decayed;
    let gradients = if constants.weight_decay == 0.0 {
        gradients
    } else {
        decayed = foreach::sum(gradients, parameters, constants.weight_decay)?;
        &decayed
    };
    foreach::scale(square_avgs, constants.decay)?;
    foreach::add_product(square_avgs, gradients, gradients, 1.0 - constants.decay)?;
    let roots = foreach::plus(square_avgs, constants.epsilon)?;
    foreach::sqrt(&roots)?;
    foreach::scale(buffers, constants.momentum)?;
    foreach::add_quotient(buffers, gradients, &roots, constants.lr)?;
    foreach::add(parameters, buffers, -1.0)?;
    Ok(())
}
