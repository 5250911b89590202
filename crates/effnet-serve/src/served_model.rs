//! A network with the name that clients call it by.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use effnet::{
    Backend, BatchDemand, Engine, ExplainMethod, ExplainOptions, Explainer, Model, available_memory,
};
use effnet_image::EvalTransform;

use crate::ServeError;

/// The largest batch that is chosen automatically: everyone in a batch waits for all of it.
const LARGEST_BATCH: usize = 16;

/// A network to serve.
pub struct ServedModel {
    name: String,
    model: Model,
    /// For an image that is alone: all threads work on it.
    wide: Networks,
    /// For images that come together: as many calls as there are threads, of one thread each.
    narrow: Networks,
    /// Maximum number of images per batch; halved when memory runs out.
    batch_size: AtomicUsize,
}

/// The outputs of one packed network, with a pool of threads.
struct Networks {
    logits: Arc<dyn Backend>,
    features: Arc<dyn Backend>,
    /// For explanations.
    engine: Engine,
}

impl Networks {
    fn new(engine: Engine) -> Self {
        Self {
            logits: Arc::new(engine.clone()),
            features: Arc::new(engine.for_features()),
            engine,
        }
    }
}

impl ServedModel {
    /// Serves `model` under `name`, which becomes part of addresses.
    ///
    /// # Errors
    /// [`ServeError::Name`] for a name that is empty or has other characters than letters, digits, `.`, `_` and `-`, or
    /// that starts with a dot; [`ServeError::Backend`] when threads cannot be started.
    pub fn new(name: impl Into<String>, model: Model) -> Result<Self, ServeError> {
        let name = name.into();
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.len() > 200 || name.starts_with('.') || !name.bytes().all(is_fine) {
            return Err(ServeError::Name { name });
        }
        let engine = model.engine();
        let threads = engine.threads();
        let narrow = Networks::new(engine.with_pool(1, threads)?);
        let wide = if threads == 1 {
            Networks::new(narrow.engine.clone())
        } else {
            Networks::new(engine.with_pool(threads, 1)?)
        };
        Ok(Self {
            name,
            wide,
            narrow,
            model,
            batch_size: AtomicUsize::new(1),
        })
    }

    /// Computes the logits with this backend instead.
    #[cfg(test)]
    pub(crate) fn with_logits(mut self, backend: Arc<dyn Backend>) -> Self {
        self.wide.logits = Arc::clone(&backend);
        self.narrow.logits = backend;
        self
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

    /// Number of calls that the network runs at a time, each on one thread.
    pub(crate) fn calls(&self) -> usize {
        self.model.engine().threads()
    }

    /// Sets the batch size, or chooses one such that the batches of all calls fit into half of the available memory.
    pub(crate) fn choose_batch_size(&self, requested: Option<usize>) -> Result<(), ServeError> {
        let images = if let Some(images) = requested {
            images.max(1)
        } else {
            let side = self.transform().image_size;
            let (backend, config) = (&*self.narrow.logits, self.model.config());
            let demand = BatchDemand::new(backend, config, side, self.calls())?;
            (demand.batch_size(available_memory()) / self.calls()).clamp(1, LARGEST_BATCH)
        };
        self.batch_size.store(images, Ordering::Relaxed);
        Ok(())
    }

    /// Lets later batches have at most this many images.
    pub(crate) fn reduce_batch_size(&self, images: usize) {
        self.batch_size.fetch_min(images, Ordering::Relaxed);
    }

    fn networks(&self, is_alone: bool) -> &Networks {
        if is_alone { &self.wide } else { &self.narrow }
    }

    pub(crate) fn logits(&self, is_alone: bool) -> &dyn Backend {
        &*self.networks(is_alone).logits
    }

    pub(crate) fn features(&self, is_alone: bool) -> &dyn Backend {
        &*self.networks(is_alone).features
    }

    pub(crate) fn explainer(
        &self,
        method: ExplainMethod,
        is_alone: bool,
    ) -> Result<Explainer, effnet::ExplainError> {
        let options = ExplainOptions::default().with_method(method);
        Explainer::new(self.networks(is_alone).engine.clone(), options)
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
