//! Methods that need the gradient of a logit with respect to an earlier layer, which another crate computes.

use effnet_kernels::Endpoint;

use super::ClassMap;
use crate::{BackendError, Images};

/// Computes gradients. The engine of this crate does not; the crate effnet-torch implements this with libtorch.
pub trait Gradients: std::fmt::Debug + Send + Sync {
    /// Returns the output of `layer` for one normalised image `[1, C, H, W]`, and the gradients of the logits of
    /// `classes` with respect to it.
    ///
    /// # Errors
    /// [`BackendError`] when the gradients cannot be computed.
    fn gradients(
        &self,
        image: Images<'_>,
        layer: Endpoint,
        classes: &[usize],
    ) -> Result<LayerGradients, BackendError>;
}

/// The output of a layer for one image, and what logits would change if it did.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerGradients {
    /// The output of the layer, `[channels, height, width]`.
    pub output: Vec<f32>,
    /// For each class, the gradient of its logit with respect to the output.
    pub gradients: Vec<Vec<f32>>,
    /// `[channels, height, width]`.
    pub shape: [usize; 3],
}

impl LayerGradients {
    /// Returns a map per class: the output weighted by its gradient, which is summed per channel (Grad-CAM) or, if
    /// `positive` is set, taken where it is positive, times the number of pixels (LayerCAM). For the final layer, the maps
    /// are thus those that the classifier's weights give.
    pub(super) fn maps(&self, positive: bool) -> Vec<ClassMap> {
        let [_, height, width] = self.shape;
        let places = (height * width).max(1);
        let of_class = |gradient: &Vec<f32>| {
            if positive {
                let weights = gradient.iter().map(|gradient| gradient.max(0.0) * places as f32);
                let product = |(value, weight): (&f32, f32)| value * weight;
                let products: Vec<f32> = self.output.iter().zip(weights).map(product).collect();
                return ClassMap::combined(&products, &vec![1.0; self.shape[0]], [height, width]);
            }
            let sum = |plane: &[f32]| plane.iter().map(|&value| f64::from(value)).sum::<f64>() as f32;
            let weights: Vec<f32> = gradient.chunks_exact(places).map(sum).collect();
            ClassMap::combined(&self.output, &weights, [height, width])
        };
        self.gradients.iter().map(of_class).collect()
    }
}
