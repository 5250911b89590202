//! Random parameters, for benchmarks without weights.

use effnet_architecture::{Config, ParameterKind};
use effnet_checkpoint::Tensor;

use super::{LoadError, LoadOptions, Parameters};

impl Parameters {
    /// Returns random parameters, which take as long to run as trained ones. Convolution weights come from a
    /// uniform distribution with the variance `1 / fan-in`, so that activations neither grow nor vanish with the depth
    /// of the network; batch norms are identities; biases are 0. Equal seeds give equal parameters.
    ///
    /// # Errors
    /// [`LoadError::Config`] for a field out of range.
    pub fn random(config: &Config, seed: u64) -> Result<Self, LoadError> {
        config.validate()?;
        let mut random = fastrand::Rng::with_seed(seed);
        let tensors = config
            .parameter_list()
            .into_iter()
            .filter(|parameter| parameter.kind == ParameterKind::Float)
            .map(|parameter| {
                let count: usize = parameter.shape.iter().product();
                let bound = match parameter.shape[..] {
                    [_, inputs, height, width] => (3.0 / (inputs * height * width) as f32).sqrt(),
                    [classes, _] => 1.0 / (classes as f32).sqrt(),
                    _ => 0.0,
                };
                // The scale and variance of a batch norm are 1. One-dimensional weights are such scales.
                let is_one = parameter.name.ends_with(".weight") || parameter.name.ends_with(".running_var");
                let mut value = || match (bound > 0.0, is_one) {
                    (true, _) => bound * (2.0 * random.f32() - 1.0),
                    (false, true) => 1.0,
                    (false, false) => 0.0,
                };
                let values = (0..count).map(|_| value());
                (parameter.name, Tensor::from_floats(parameter.shape, values))
            });
        let state_dict = tensors
            .map(|(name, tensor)| Ok((name, tensor?)))
            .collect::<Result<_, effnet_checkpoint::TensorError>>()?;
        Self::from_state_dict(config, &state_dict, LoadOptions::default())
    }
}
