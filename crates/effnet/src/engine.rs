//! The CPU engine: one packed network that any number of threads may run.

use std::sync::Arc;

use effnet_architecture::{Config, Precision};
use effnet_kernels::{Endpoint, Layer, Network, NetworkOptions, Output};

use crate::backend::{Backend, BackendError, Images, Pending, Rows};
use crate::contexts::Contexts;
use crate::{MemoryNeed, Parameters};

/// Options for an [`Engine`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct EngineOptions {
    /// Precision of the computation; [`Precision::Auto`] means 32-bit floats.
    pub precision: Precision,
    /// Number of threads per call, including the caller's; by default one per core.
    pub threads: Option<usize>,
    /// Maximum number of concurrent calls; further calls wait their turn. The default is the number of cores
    /// divided by the number of threads per call, but at least one.
    pub calls: Option<usize>,
    /// Whether to return the pooled features of the head, `[N, features]`, even if the network has a
    /// classifier.
    pub features: bool,
}

impl EngineOptions {
    /// Sets [`precision`](Self::precision).
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Sets [`threads`](Self::threads).
    #[must_use]
    pub fn with_threads(mut self, threads: impl Into<Option<usize>>) -> Self {
        self.threads = threads.into();
        self
    }

    /// Sets [`calls`](Self::calls).
    #[must_use]
    pub fn with_calls(mut self, calls: impl Into<Option<usize>>) -> Self {
        self.calls = calls.into();
        self
    }

    /// Sets [`features`](Self::features).
    #[must_use]
    pub fn with_features(mut self, features: bool) -> Self {
        self.features = features;
        self
    }
}

/// The logits of a batch together with the output of a layer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EndpointOutput {
    /// The logits, `[N, classes]`.
    pub logits: Vec<f32>,
    /// The output of the layer, row-major.
    pub features: Vec<f32>,
    /// The shape of the layer's output, `[N, C, H, W]`.
    pub shape: [usize; 4],
}

/// A network prepared for inference on a CPU: batch normalisation folded, weights packed.
///
/// The packed weights never change and are shared by all callers. Each call leases its memory and threads
/// from a bounded pool; only the lease itself takes a lock. Idle contexts keep the memory that their largest
/// call needed, in total at most [`calls`](EngineOptions::calls) times [`memory_need`](Backend::memory_need),
/// until [`release_memory`](Self::release_memory) is called. The same image gives bit-identical results on
/// every run, whatever else is in the batch and however many threads there are. Clones share the packed
/// weights and the pool.
///
/// ```no_run
/// use effnet::{Backend, Checkpoint, Engine, EngineOptions, Images, LoadOptions, Parameters};
/// use effnet_architecture::Variant;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let checkpoint = Checkpoint::open("efficientnet-b0.pth")?;
/// let config = Variant::B0.config();
/// let parameters = Parameters::from_state_dict(&config, checkpoint.state_dict(), LoadOptions::default())?;
/// let engine = Engine::new(&parameters, EngineOptions::default())?;
/// let pixels = vec![0.0; 8 * 3 * 224 * 224];
/// let logits = engine.run(Images::new(&pixels, [8, 3, 224, 224])?)?;
/// assert_eq!((logits.count(), logits.width()), (8, 1000));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Engine {
    network: Arc<Network>,
    contexts: Arc<Contexts>,
    config: Arc<Config>,
    precision: Precision,
    output: Output,
}

impl Engine {
    /// Folds and packs the parameters, which are not needed afterwards.
    ///
    /// # Errors
    /// [`BackendError::Precision`] for fp16, which the CPU engine does not support, [`BackendError::Tensor`]
    /// when the values of a tensor cannot be read, [`BackendError::Kernels`] when memory cannot be allocated
    /// or threads cannot be started.
    pub fn new(parameters: &Parameters, options: EngineOptions) -> Result<Self, BackendError> {
        let precision = match options.precision {
            Precision::Auto | Precision::Fp32 => Precision::Fp32,
            Precision::Bf16 => Precision::Bf16,
            Precision::Fp16 => {
                return Err(BackendError::Precision {
                    precision: Precision::Fp16,
                    device: "the CPU".to_owned(),
                });
            }
        };
        let mut layers = parameters.fold()?;
        if options.features {
            layers.classifier = None;
        }
        let output = if layers.classifier.is_some() {
            Output::Logits
        } else {
            Output::Pooled
        };
        let packing = NetworkOptions::default().with_bf16(precision == Precision::Bf16);
        Ok(Self {
            network: Arc::new(Network::new(&layers, packing)?),
            contexts: Arc::new(Contexts::new(options.threads, options.calls)?),
            config: Arc::new(parameters.config().clone()),
            precision,
            output,
        })
    }

    /// Returns an engine with the same network, weights and pool that outputs pooled features `[N, features]`
    /// instead of logits.
    #[must_use]
    pub fn for_features(&self) -> Self {
        Self {
            output: Output::Pooled,
            ..self.clone()
        }
    }

    /// Returns an engine with the same network and weights, but a pool of its own: `calls` concurrent calls of `threads`
    /// threads each. Many calls of one thread compute more images per second than one call of many threads, which has
    /// its result sooner.
    ///
    /// # Errors
    /// [`BackendError::Kernels`] when threads cannot be started.
    pub fn with_pool(&self, threads: usize, calls: usize) -> Result<Self, BackendError> {
        Ok(Self {
            contexts: Arc::new(Contexts::new(Some(threads), Some(calls))?),
            ..self.clone()
        })
    }

    /// The configuration of the network.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Number of threads per call.
    pub fn threads(&self) -> usize {
        self.contexts.threads()
    }

    /// Maximum number of concurrent calls.
    pub fn calls(&self) -> usize {
        self.contexts.most()
    }

    /// Length of one row of results: the number of classes for logits, or the number of features for pooled
    /// features.
    pub fn output_width(&self) -> usize {
        match (self.output, self.network.classes()) {
            (Output::Logits, Some(classes)) => classes,
            _ => self.config.head_channels(),
        }
    }

    /// Computes the activations of the head, `[N, features, H / 32, W / 32]`, for normalised images, and
    /// returns them with their shape.
    ///
    /// # Errors
    /// Same as [`Backend::run`].
    pub fn run_features(&self, images: Images<'_>) -> Result<(Vec<f32>, Vec<usize>), BackendError> {
        self.compute(images, Output::Features)
    }

    /// Computes the logits of normalised images and, in the same pass, the output of a layer.
    ///
    /// # Errors
    /// Same as [`Backend::run`], also for a network without a classifier and for a block that does not exist.
    pub fn run_with_endpoint(
        &self,
        images: Images<'_>,
        endpoint: Endpoint,
    ) -> Result<EndpointOutput, BackendError> {
        let rows = self.network.output_shape(images.shape(), Output::Logits)?;
        let shape = self.network.endpoint_shape(images.shape(), endpoint)?;
        let mut logits = vec![0.0; rows.iter().product()];
        let mut features = vec![0.0; shape.iter().product()];
        let mut context = self.contexts.lease()?;
        self.network.run_with_endpoint(
            &mut context,
            images.pixels(),
            images.shape(),
            &mut logits,
            (endpoint, &mut features),
        )?;
        Ok(EndpointOutput {
            logits,
            features,
            shape,
        })
    }

    /// Shape of a layer's output, `[N, C, H, W]`, for images of this shape.
    ///
    /// # Errors
    /// [`BackendError::Kernels`] for an invalid shape and for a block that does not exist.
    pub fn endpoint_shape(&self, shape: [usize; 4], endpoint: Endpoint) -> Result<[usize; 4], BackendError> {
        Ok(self.network.endpoint_shape(shape, endpoint)?)
    }

    /// The classifier's weights for one class, one per feature, as the engine multiplies them.
    ///
    /// # Errors
    /// [`BackendError::Kernels`] for a class that does not exist.
    pub fn classifier_row(&self, class: usize) -> Result<Vec<f32>, BackendError> {
        Ok(self.network.classifier_row(class)?)
    }

    /// Number of blocks between stem and head.
    pub fn blocks(&self) -> usize {
        self.network.blocks()
    }

    /// Size in bytes of the packed weights, which all callers share.
    pub fn weight_bytes(&self) -> u64 {
        self.network.bytes()
    }

    /// Memory held by idle contexts, in bytes.
    pub fn idle_bytes(&self) -> u64 {
        self.contexts.idle_bytes()
    }

    /// Releases the memory and threads of idle contexts; later calls create new ones.
    pub fn release_memory(&self) {
        self.contexts.release();
    }

    fn compute(&self, images: Images<'_>, output: Output) -> Result<(Vec<f32>, Vec<usize>), BackendError> {
        let shape = self.network.output_shape(images.shape(), output)?;
        let mut result = vec![0.0; shape.iter().product()];
        let mut context = self.contexts.lease()?;
        self.network
            .run(&mut context, images.pixels(), images.shape(), output, &mut result)?;
        Ok((result, shape))
    }
}

impl Backend for Engine {
    fn submit(&self, images: Images<'_>) -> Result<Pending, BackendError> {
        let (values, shape) = self.compute(images, self.output)?;
        Ok(Pending::done(Rows::new(values, shape[0])?))
    }

    fn engine(&self) -> &'static str {
        "fused"
    }

    fn kernels(&self) -> String {
        self.network.instruction_set().to_owned()
    }

    fn precision(&self) -> Precision {
        self.precision
    }

    fn memory_need(&self, size: [usize; 2]) -> Result<MemoryNeed, BackendError> {
        let memory = self.network.activation_memory(size)?;
        Ok(MemoryNeed {
            fixed: memory.thread * self.threads() as u64,
            per_image: memory.image,
        })
    }

    fn profile(&self, images: Images<'_>) -> Result<Option<Vec<(Layer, f64)>>, BackendError> {
        let shape = self.network.output_shape(images.shape(), self.output)?;
        let mut result = vec![0.0; shape.iter().product()];
        let mut context = self.contexts.lease()?;
        let layers = self.network.profile(
            &mut context,
            images.pixels(),
            images.shape(),
            self.output,
            &mut result,
        )?;
        Ok(Some(layers))
    }
}
