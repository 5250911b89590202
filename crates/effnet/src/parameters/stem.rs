//! Adapts the stem to a different number of input channels.

use effnet_checkpoint::{Tensor, TensorError};

/// Whether shapes `[O, C, k, k]` differ only in `C`.
pub(super) fn differs_in_input_only(expected: &[usize], found: &[usize]) -> bool {
    expected.len() == 4
        && found.len() == 4
        && found[1] > 0
        && expected[1] != found[1]
        && expected[0] == found[0]
        && expected[2..] == found[2..]
}

/// Converts kernels `[O, C, k, k]` to `channels` input channels: sums them for one channel, repeats and
/// rescales them for more (timm's `adapt_input_conv`).
pub(super) fn adapt(kernels: &Tensor, channels: usize) -> Result<Tensor, TensorError> {
    let values = kernels.floats()?;
    let shape = kernels.shape();
    let (found, side) = (shape[1], shape[2] * shape[3]);
    let mut adapted: Vec<f32> = Vec::with_capacity(shape[0] * channels * side);
    for kernel in values.chunks_exact(found * side) {
        if channels == 1 {
            adapted.extend((0..side).map(|at| kernel.iter().skip(at).step_by(side).sum::<f32>()));
            continue;
        }
        let factor = (found as f64 / channels as f64) as f32;
        for channel in 0..channels {
            let source = channel % found * side;
            adapted.extend(kernel[source..source + side].iter().map(|value| value * factor));
        }
    }
    Tensor::from_floats([shape[0], channels, shape[2], shape[3]], adapted)
}
