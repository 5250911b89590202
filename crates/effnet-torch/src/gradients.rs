//! Gradients for `effnet explain` at layers before the last, which need autograd.

use std::sync::{Mutex, PoisonError};

use effnet::{BackendError, Endpoint, Gradients, Images, LayerGradients, Parameters};
use effnet_core::EfficientNet;
use tch::{Device, nn};

use crate::engine::{floats, tensor};
use crate::error::Error;

/// A network on the CPU whose layers can be differentiated, for [`effnet::Explainer::with_gradients`].
#[derive(Debug)]
pub struct GradientNetwork {
    /// Two threads must not use tch tensors at the same time.
    network: Mutex<EfficientNet>,
}

impl GradientNetwork {
    /// Creates the network.
    ///
    /// # Errors
    /// [`effnet_core::Error`] if libtorch cannot create the tensors.
    pub fn new(parameters: &Parameters) -> Result<Self, effnet_core::Error> {
        let mut store = nn::VarStore::new(Device::Cpu);
        let network = EfficientNet::from_parameters(&store.root(), parameters)?;
        store.freeze();
        Ok(Self {
            network: Mutex::new(network),
        })
    }
}

impl Gradients for GradientNetwork {
    fn gradients(
        &self,
        image: Images<'_>,
        layer: Endpoint,
        classes: &[usize],
    ) -> Result<LayerGradients, BackendError> {
        let image = tensor(image)?;
        let network = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        let found = network
            .layer_gradients(&image, layer, classes)
            .map_err(Error::from)?;
        let (_, channels, height, width) = found.output.size4().map_err(Error::from)?;
        let gradients = found.gradients.iter().map(floats);
        Ok(LayerGradients {
            output: floats(&found.output)?,
            gradients: gradients.collect::<Result<_, _>>()?,
            shape: [channels, height, width].map(|side| side as usize),
        })
    }
}
