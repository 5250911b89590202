//! Which parts of an image support a class.
//!
//! The question after every classification is "why?". At the final activation it has an exact answer that costs no more
//! than the classification: pooling and classifier are linear, so the logit of a class is the mean over the pixels of
//! the activations times the classifier's weights, plus a bias. That product before the mean is the class activation
//! map (CAM); Grad-CAM at this layer is the same map up to a factor. No gradients are needed, and thus no autograd.
//! Earlier layers need both, which [`Gradients`] stands for. Occlusion and Score-CAM ask the network itself, with many
//! passes per image.

mod class_map;
mod error;
mod gradients;
mod perturbation;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

#[cfg(feature = "plots")]
use effnet_data::{ClassPanel, DisplayedPhoto, PlotError, class_maps_png};
use effnet_kernels::Endpoint;

use crate::{BackendError, Engine, Images, Labels, NotFinite, Prediction, rank};
pub use class_map::ClassMap;
pub use error::ExplainError;
pub use gradients::{Gradients, LayerGradients};
use perturbation::{Occlusion, Target, weights_of_channels};

/// How a map is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ExplainMethod {
    /// The activations times the classifier's weights of the class: CAM, which is Grad-CAM at the final activation.
    /// The mean of the map is the logit of the class without its bias. One pass per image. At an earlier layer: Grad-CAM,
    /// which needs [`Gradients`].
    #[default]
    Cam,
    /// The same without negative weights, so only with what supports the class: LayerCAM at the final activation.
    /// One pass per image. At an earlier layer: LayerCAM, which needs [`Gradients`].
    LayerCam,
    /// The drop in the logit when a square of the image is replaced by the mean colour, averaged over the squares that
    /// cover each place: occlusion sensitivity (Zeiler and Fergus 2014). [`passes`](Explainer::passes) per image; the
    /// layers of the network are not used.
    Occlusion,
    /// The activations of a layer, each channel weighted by the logit of the class for the image masked with it (softmax
    /// over the channels): Score-CAM. One pass per channel.
    ScoreCam,
}

impl ExplainMethod {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cam => "cam",
            Self::LayerCam => "layercam",
            Self::Occlusion => "occlusion",
            Self::ScoreCam => "scorecam",
        }
    }

    /// What the values of a map are, for the legend of an overlay.
    #[cfg(feature = "plots")]
    fn meaning(self) -> &'static str {
        match self {
            Self::Cam => "evidence for the class, scaled per map",
            Self::LayerCam => "LayerCAM, scaled per map",
            Self::Occlusion => "drop of the logit when hidden, scaled per map",
            Self::ScoreCam => "Score-CAM, scaled per map",
        }
    }
}

/// The classes to explain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExplainedClasses {
    /// This many of the most likely classes; at least 1, and no more than there are.
    Best(usize),
    /// The class with this index.
    Class(usize),
}

/// Options for an [`Explainer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExplainOptions {
    /// How a map is computed.
    pub method: ExplainMethod,
    /// The layer whose activations make the map; not used by [`ExplainMethod::Occlusion`].
    pub layer: Endpoint,
    /// Maximum number of images per call for methods with many passes.
    pub batch_size: usize,
}

/// Maximum number of classes to explain at once: more maps side by side are too small to read.
pub const MOST_EXPLAINED_CLASSES: usize = 16;

impl Default for ExplainOptions {
    fn default() -> Self {
        Self {
            method: ExplainMethod::Cam,
            layer: Endpoint::Head,
            batch_size: 16,
        }
    }
}

impl ExplainOptions {
    /// Sets [`method`](Self::method).
    #[must_use]
    pub fn with_method(mut self, method: ExplainMethod) -> Self {
        self.method = method;
        self
    }

    /// Sets [`layer`](Self::layer).
    #[must_use]
    pub fn with_layer(mut self, layer: Endpoint) -> Self {
        self.layer = layer;
        self
    }

    /// Sets [`batch_size`](Self::batch_size).
    #[must_use]
    pub fn with_batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// Returns whether the method needs the gradients of an earlier layer, and thus
    /// [`Explainer::with_gradients`].
    pub fn needs_gradients(&self) -> bool {
        let is_gradient = matches!(self.method, ExplainMethod::Cam | ExplainMethod::LayerCam);
        is_gradient && self.layer != Endpoint::Head
    }

    /// Checks that the method uses layers if there is one, without a network.
    ///
    /// # Errors
    /// [`ExplainError::Layer`].
    pub fn check(&self) -> Result<(), ExplainError> {
        match self.method {
            ExplainMethod::Occlusion if self.layer != Endpoint::Head => Err(ExplainError::Layer),
            _ => Ok(()),
        }
    }
}

/// The most likely classes of an image with a map for each of them, or the requested class with its map.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// The classes, most likely first.
    pub predictions: Vec<Prediction>,
    /// One map per class, over the image as the network saw it.
    pub maps: Vec<ClassMap>,
}

impl Explanation {
    /// Draws the maps over the photo, side by side, as a PNG. `photo` was created with the
    /// [visible region](effnet_image::EvalTransform::visible_region) of the image; `method` computed the maps.
    ///
    /// # Errors
    /// [`PlotError::Draw`].
    #[cfg(feature = "plots")]
    pub fn overlay(&self, photo: &DisplayedPhoto, method: ExplainMethod) -> Result<Vec<u8>, PlotError> {
        let classes = self.predictions.iter().zip(&self.maps);
        let panels = classes.map(|(prediction, map)| {
            let percent = format!("{:.1} %", 100.0 * prediction.probability);
            let size = [map.height(), map.width()];
            ClassPanel::new(&prediction.label, percent, size, map.scaled())
        });
        let panels: Vec<ClassPanel> = panels.collect();
        class_maps_png(photo, &panels, method.meaning())
    }
}

/// Explains classifications by one network.
#[derive(Debug, Clone)]
pub struct Explainer {
    engine: Engine,
    options: ExplainOptions,
    gradients: Option<Arc<dyn Gradients>>,
}

impl Explainer {
    /// Creates an explainer for a network with a classifier.
    ///
    /// # Errors
    /// [`ExplainError::Gradient`], [`ExplainError::Layer`] and [`ExplainError::Block`] for a layer that the method
    /// cannot use.
    pub fn new(engine: Engine, options: ExplainOptions) -> Result<Self, ExplainError> {
        if options.needs_gradients() {
            return Err(ExplainError::Gradient {
                method: options.method.name(),
                layer: layer_name(options.layer),
            });
        }
        Self::build(engine, options, None)
    }

    /// Creates an explainer that takes the gradients of earlier layers from `gradients`, which must be of the same
    /// network.
    ///
    /// # Errors
    /// [`ExplainError::Layer`] and [`ExplainError::Block`] for a layer that the method cannot use.
    pub fn with_gradients(
        engine: Engine,
        options: ExplainOptions,
        gradients: Arc<dyn Gradients>,
    ) -> Result<Self, ExplainError> {
        Self::build(engine, options, Some(gradients))
    }

    fn build(
        engine: Engine,
        options: ExplainOptions,
        gradients: Option<Arc<dyn Gradients>>,
    ) -> Result<Self, ExplainError> {
        options.check()?;
        if let Endpoint::Block(index) = options.layer
            && index >= engine.blocks()
        {
            return Err(ExplainError::Block {
                index,
                last: engine.blocks().saturating_sub(1),
            });
        }
        Ok(Self {
            engine,
            options,
            gradients,
        })
    }

    /// The method.
    pub fn method(&self) -> ExplainMethod {
        self.options.method
    }

    /// The number of forward passes per image of `side` x `side` pixels.
    ///
    /// # Errors
    /// [`ExplainError::Backend`] for an invalid size.
    pub fn passes(&self, side: usize) -> Result<usize, ExplainError> {
        Ok(match self.options.method {
            // One for the prediction, one for the gradients.
            _ if self.options.needs_gradients() => 2,
            ExplainMethod::Cam | ExplainMethod::LayerCam => 1,
            ExplainMethod::Occlusion => 1 + Occlusion::of(side, side).count(),
            ExplainMethod::ScoreCam => {
                let shape = [1, 3, side, side];
                1 + self.engine.endpoint_shape(shape, self.options.layer)?[1]
            }
        })
    }

    /// Explains one normalised image `[1, C, H, W]`. Once `stop` is true, no further pass is started.
    ///
    /// # Errors
    /// [`ExplainError::Class`] for a class that does not exist, [`ExplainError::NotFinite`] when the network returns
    /// NaN or infinity, [`ExplainError::Backend`] when memory runs out, [`ExplainError::Stopped`].
    pub fn explain(
        &self,
        image: Images<'_>,
        classes: ExplainedClasses,
        labels: &Labels,
        stop: &AtomicBool,
    ) -> Result<Explanation, ExplainError> {
        if image.count() != 1 {
            return Err(BackendError::Rows {
                images: 1,
                found: image.count(),
            }
            .into());
        }
        let output = self.engine.run_with_endpoint(image, self.options.layer)?;
        let (logits, activations, shape) = (output.logits, output.features, output.shape);
        let predictions = choose(rank(&logits, labels, 0)?, classes)?;
        let chosen: Vec<usize> = predictions.iter().map(|prediction| prediction.class).collect();
        let [_, channels, height, width] = shape;
        let combined = |weights: &[f32]| ClassMap::combined(&activations, weights, [height, width]);
        let target = Target {
            engine: &self.engine,
            image,
            classes: &chosen,
            batch_size: self.options.batch_size.max(1),
            stop,
        };
        let maps: Vec<ClassMap> = match (self.options.method, &self.gradients) {
            (method, Some(gradients)) if self.options.needs_gradients() => gradients
                .gradients(image, self.options.layer, &chosen)?
                .maps(method == ExplainMethod::LayerCam),
            (ExplainMethod::Cam, _) => self.rows(&chosen)?.iter().map(|row| combined(row)).collect(),
            (ExplainMethod::LayerCam, _) => {
                let mut rows = self.rows(&chosen)?;
                rows.iter_mut()
                    .flatten()
                    .for_each(|weight| *weight = weight.max(0.0));
                rows.iter().map(|row| combined(row)).collect()
            }
            (ExplainMethod::Occlusion, _) => {
                let of_image: Vec<f32> = chosen.iter().map(|&class| logits[class]).collect();
                Occlusion::of(image.shape()[2], image.shape()[3]).maps(&target, &of_image)?
            }
            (ExplainMethod::ScoreCam, _) => {
                let planes = (&activations[..], [channels, height, width]);
                let weights = weights_of_channels(&target, planes)?;
                weights.iter().map(|weights| combined(weights)).collect()
            }
        };
        let values = maps.iter().flat_map(ClassMap::values);
        if let Some(&number) = values.into_iter().find(|value| !value.is_finite()) {
            let (what, place) = ("class", chosen[0]);
            return Err(NotFinite { what, place, number }.into());
        }
        Ok(Explanation { predictions, maps })
    }

    fn rows(&self, classes: &[usize]) -> Result<Vec<Vec<f32>>, ExplainError> {
        let rows = classes.iter().map(|&class| self.engine.classifier_row(class));
        Ok(rows.collect::<Result<_, BackendError>>()?)
    }
}

/// Returns the name of a layer on the command line: `stem`, `head` or the number of a block.
fn layer_name(layer: Endpoint) -> String {
    match layer {
        Endpoint::Stem => "stem".to_owned(),
        Endpoint::Block(index) => index.to_string(),
        Endpoint::Head => "head".to_owned(),
    }
}

fn choose(ranked: Vec<Prediction>, classes: ExplainedClasses) -> Result<Vec<Prediction>, ExplainError> {
    let mut ranked = ranked;
    match classes {
        ExplainedClasses::Best(count) => ranked.truncate(count.max(1)),
        ExplainedClasses::Class(class) => {
            let last = ranked.len().saturating_sub(1);
            ranked.retain(|prediction| prediction.class == class);
            if ranked.is_empty() {
                return Err(ExplainError::Class { class, last });
            }
        }
    }
    Ok(ranked)
}
