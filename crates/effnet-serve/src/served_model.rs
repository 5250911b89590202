//! A network with the name that clients call it by.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use effnet::{
    Backend, BatchDemand, Engine, ExplainMethod, ExplainOptions, Explainer, Model, available_memory,
};
use effnet_image::EvalTransform;

use crate::ServeError;

/// The largest batch that is chosen automatically: larger ones were not faster, and everyone in a batch waits for all
/// of it.
const LARGEST_BATCH: usize = 16;

/// A network to serve.
pub struct ServedModel {
    name: String,
    model: Model,
    logits: Box<dyn Backend>,
    features: Engine,
    /// Maximum number of images per batch; halved when memory runs out.
    batch_size: AtomicUsize,
}

impl ServedModel {
    /// Serves `model` under `name`, which becomes part of addresses.
    ///
    /// # Errors
    /// [`ServeError::Name`] for a name that is empty or has other characters than letters, digits, `.`, `_` and `-`, or
    /// that starts with a dot.
    pub fn new(name: impl Into<String>, model: Model) -> Result<Self, ServeError> {
        let logits = Box::new(model.engine().clone());
        Self::with_backend(name, model, logits)
    }

    /// Like [`new`](Self::new), with a backend that computes the logits in place of the model's engine.
    pub(crate) fn with_backend(
        name: impl Into<String>,
        model: Model,
        logits: Box<dyn Backend>,
    ) -> Result<Self, ServeError> {
        let name = name.into();
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.len() > 200 || name.starts_with('.') || !name.bytes().all(is_fine) {
            return Err(ServeError::Name { name });
        }
        Ok(Self {
            name,
            features: model.engine().for_features(),
            logits,
            model,
            batch_size: AtomicUsize::new(1),
        })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The network.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Maximum number of images per batch.
    pub fn batch_size(&self) -> usize {
        self.batch_size.load(Ordering::Relaxed)
    }

    /// Sets the batch size, or chooses one that keeps the threads busy within half of the available memory.
    pub(crate) fn choose_batch_size(&self, requested: Option<usize>) -> Result<(), ServeError> {
        let images = match requested {
            Some(images) => images.max(1),
            None => {
                let threads = self.model.engine().threads();
                let side = self.transform().image_size;
                let demand = BatchDemand::new(&*self.logits, self.model.config(), side, threads)?;
                demand.batch_size(available_memory()).min(LARGEST_BATCH)
            }
        };
        self.reduce_batch_size(images);
        Ok(())
    }

    /// Lets later batches have at most this many images.
    pub(crate) fn reduce_batch_size(&self, images: usize) {
        self.batch_size.store(images, Ordering::Relaxed);
    }

    pub(crate) fn logits(&self) -> &dyn Backend {
        &*self.logits
    }

    pub(crate) fn features(&self) -> &dyn Backend {
        &self.features
    }

    pub(crate) fn explainer(&self, method: ExplainMethod) -> Result<Explainer, effnet::ExplainError> {
        let options = ExplainOptions::default().with_method(method);
        Explainer::new(self.model.engine().clone(), options)
    }

    pub(crate) fn transform(&self) -> &EvalTransform {
        self.model.transform()
    }

    /// The variant and the weights, as records name them.
    pub(crate) fn network(&self) -> (&'static str, &str) {
        (self.model.variant().name(), self.model.name())
    }

    pub(crate) fn classes(&self) -> usize {
        self.model.labels().len()
    }
}

impl fmt::Debug for ServedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServedModel")
            .field("name", &self.name)
            .field("weights", &self.model.name())
            .finish_non_exhaustive()
    }
}
