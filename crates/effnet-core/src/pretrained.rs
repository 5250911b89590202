//! Loads published or custom weights into a variable store, in one call.
//!
//! A network that is built by hand uses whatever profile and preprocessing its caller chooses, and a wrong choice
//! gives wrong logits without an error. [`Pretrained`] determines both by the same rules as the `effnet` program.
//! It also looks for CUDA before it creates the first tensor, because libtorch looks only once per process and
//! caches the answer.

use std::path::Path;

use effnet::{
    Labels, LoadOptions, LoadReport, ModelFile, ModelOptions, Profile, Progress, Variant, Zoo, transform,
};
use effnet_image::EvalTransform;
use tch::{Device, nn};

use crate::{EfficientNet, Error};

/// Returns the device to compute on: the first CUDA device, or the CPU if there is none.
///
/// **Call this before the process creates its first tensor**, instead of [`Device::cuda_if_available`]: libtorch
/// looks for CUDA only once, and this function first loads its CUDA library if the machine has an NVIDIA driver.
/// If this libtorch cannot use the driver, the CPU is returned.
pub fn device() -> Device {
    // An error means that libtorch was built without CUDA or for a different driver version: fall back to the CPU.
    let _ = libtorch_ext::load_cuda(None);
    Device::cuda_if_available()
}

/// Options of [`Pretrained::open`].
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PretrainedOptions {
    /// The device of the parameters; [`device()`] by default.
    pub device: Option<Device>,
    /// If set, the classifier is replaced with a new, randomly initialised one for this many classes.
    pub new_classes: Option<usize>,
    /// Overrides for variant, profile, labels and preprocessing.
    pub model: ModelOptions,
}

impl PretrainedOptions {
    /// Sets [`device`](Self::device).
    #[must_use]
    pub fn with_device(mut self, device: impl Into<Option<Device>>) -> Self {
        self.device = device.into();
        self
    }

    /// Sets [`new_classes`](Self::new_classes).
    #[must_use]
    pub fn with_new_classes(mut self, classes: impl Into<Option<usize>>) -> Self {
        self.new_classes = classes.into();
        self
    }

    /// Sets [`model`](Self::model).
    #[must_use]
    pub fn with_model(mut self, model: ModelOptions) -> Self {
        self.model = model;
        self
    }
}

/// A pretrained network, with its preprocessing and class names.
///
/// ```no_run
/// use effnet_core::{Pretrained, PretrainedOptions};
/// use tch::{Kind, Tensor, nn::OptimizerConfig as _};
///
/// // "b3", "b3.advprop", a weight file or a run folder; CUDA if available.
/// let options = PretrainedOptions::default().with_new_classes(5);
/// let Pretrained { store, network, transform, .. } = Pretrained::open("b0.cifar10", &options)?;
/// let mut optimizer = tch::nn::AdamW::default().build(&store, 1e-3)?;
///
/// let side = transform.image_size as i64;
/// let images = Tensor::rand([2, 3, side, side], (Kind::Float, store.device())); // from `transform.apply(..)`
/// let labels = Tensor::from_slice(&[0_i64, 4]).to_device(store.device());
/// let loss = network.forward(&images, true)?.cross_entropy_for_logits(&labels);
/// optimizer.backward_step(&loss);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Pretrained {
    /// The variable store, with the original parameter names.
    pub store: nn::VarStore,
    /// The network in this store, with the profile of the weights.
    pub network: EfficientNet,
    /// The transform from an image to the network's input.
    pub transform: EvalTransform,
    /// The variant of the network.
    pub variant: Variant,
    /// The padding and batch-norm constants that the weights were trained with. Record them with weights that are
    /// trained further; see [`ModelMetadata`](effnet::ModelMetadata).
    pub profile: Profile,
    /// The class names, if they are known. With a new classifier, only names passed in the options are known.
    pub labels: Option<Labels>,
    /// A report of what loading did in addition to copying tensors.
    pub report: LoadReport,
}

impl Pretrained {
    /// Opens weights by name: a variant (`b3`), the id of published weights (`b3.advprop`), a weight file or the
    /// folder of a training run. Published weights are downloaded once, verified and cached; see
    /// [`Zoo::from_environment`].
    ///
    /// # Errors
    /// [`Error::Open`] when the weights do not exist, cannot be downloaded or read, or are not exactly the
    /// parameters of an EfficientNet; [`Error::Torch`] when libtorch cannot create the tensors.
    pub fn open(weights: impl AsRef<Path>, options: &PretrainedOptions) -> Result<Self, Error> {
        Self::open_from(&Zoo::from_environment()?, weights, options, &mut ())
    }

    /// Like [`open`](Self::open), but with custom caches and a progress callback for the download.
    ///
    /// # Errors
    /// The errors of [`open`](Self::open).
    pub fn open_from(
        zoo: &Zoo,
        weights: impl AsRef<Path>,
        options: &PretrainedOptions,
        progress: &mut dyn Progress,
    ) -> Result<Self, Error> {
        // This must happen before the first tensor is created.
        let device = options.device.unwrap_or_else(device);
        let weights = zoo.locate_one(weights, progress)?;
        let model = &options.model;
        let file = match options.new_classes {
            Some(_) => ModelFile::inspect(weights, model)?,
            None => ModelFile::open(weights, model)?,
        };
        let classes = options.new_classes.unwrap_or_else(|| file.num_classes());
        let transform = transform(&model.preprocessing, &file, &zoo.manifest)?;
        let mut config = file.config(classes);
        config.image_size = [transform.image_size; 2];
        let load = LoadOptions::default().with_new_classifier(options.new_classes.is_some());
        let parameters = file.parameters(&config, load)?;
        let store = nn::VarStore::new(device);
        let network = EfficientNet::from_parameters(&store.root(), &parameters)?;
        let labels = match options.new_classes {
            Some(_) => model.labels.clone(),
            None => file.labels(model.labels.clone())?,
        };
        Ok(Self {
            store,
            network,
            transform,
            variant: file.variant,
            profile: file.profile,
            labels,
            report: parameters.report().clone(),
        })
    }
}
