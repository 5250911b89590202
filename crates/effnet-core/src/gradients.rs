//! Gradients of logits with respect to a layer in the middle of the network, for Grad-CAM and similar methods.
//!
//! The layers before it are not differentiated, and the parameters need no gradients, so that this takes little more
//! than two forward passes.

use effnet::Endpoint;
use tch::{TchError, Tensor};

use crate::EfficientNet;

/// The output of a layer, and what logits would change if it did.
#[derive(Debug)]
pub struct LayerGradients {
    /// The output of the layer, `[N, C, H, W]`.
    pub output: Tensor,
    /// For each class, the gradient of its logit with respect to the output: of the same shape.
    pub gradients: Vec<Tensor>,
}

impl EfficientNet {
    /// Computes the output of `layer` for images `[N, in_channels, H, W]`, and the gradients of the logits of `classes`
    /// with respect to it. Each image has its own gradient, as batch normalisation uses the running statistics.
    ///
    /// # Errors
    /// The errors of [`forward`](Self::forward), and [`TchError::Torch`] for a block or class that does not exist.
    pub fn layer_gradients(
        &self,
        images: &Tensor,
        layer: Endpoint,
        classes: &[usize],
    ) -> Result<LayerGradients, TchError> {
        let output = tch::no_grad(|| self.extract_layer(images, layer))?;
        let output = output.f_detach()?.set_requires_grad(true);
        let gradients = tch::with_grad(|| {
            let logits = self.forward_from(&output, layer)?;
            let gradient = |&class: &usize| {
                let logit = logits.f_select(1, class as i64)?.f_sum(logits.kind())?;
                let mut gradients = Tensor::f_run_backward(&[logit], &[&output], true, false)?;
                Ok(gradients.swap_remove(0))
            };
            classes.iter().map(gradient).collect::<Result<Vec<_>, TchError>>()
        })?;
        let output = output.f_detach()?;
        Ok(LayerGradients { output, gradients })
    }
}
