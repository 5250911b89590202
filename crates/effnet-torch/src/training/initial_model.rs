//! The network from which training starts: its architecture, initial weights and preprocessing.

use anyhow::{Context, bail};
use effnet::{
    LoadOptions, ModelFile, ModelMetadata, ModelName, ModelOptions, PreprocessingOverrides, Task, Weights,
    Zoo, transform, transform_of_variant,
};
use effnet_cli::DownloadProgress;
use effnet_core::{Config, EfficientNet, Initialisation, Profile, Variant};
use effnet_image::EvalTransform;
use tch::{Device, nn};

use effnet_cli::training::settings::{AUTO, Settings};
use effnet_cli::training::values::{InitName, ProfileName};
use effnet_cli::{Printer, counted};

/// The network that `--model` names, if it names one.
pub(super) fn named_model(settings: &Settings) -> anyhow::Result<Option<ModelName>> {
    if settings.model == AUTO {
        return Ok(None);
    }
    let model = settings.model.parse();
    Ok(Some(
        model.with_context(|| format!("--model {}", settings.model))?,
    ))
}

/// The architecture, initial weights and preprocessing of a training run.
pub(super) struct InitialModel {
    variant: Variant,
    profile: Profile,
    config: Config,
    /// The preprocessing of the network.
    pub(super) transform: EvalTransform,
    /// The initial weights; `None` to train from scratch.
    file: Option<ModelFile>,
    /// Whether the weights were trained on the same classes.
    keeps_classifier: bool,
    /// What the network learns.
    pub(super) task: Task,
}

impl InitialModel {
    /// Opens the weights named by `settings`, downloading them if necessary.
    pub(super) fn open(
        settings: &Settings,
        (task, classes): (Task, &[String]),
        zoo: &Zoo,
        printer: &Printer,
    ) -> anyhow::Result<Self> {
        let model = named_model(settings)?;
        let mut progress = DownloadProgress::new(printer);
        let weights = match (settings.weights.as_str(), &model) {
            ("none", Some(ModelName { tag: Some(tag), .. })) => bail!(
                "--model {} names the weights {tag}, but --weights is none; omit the tag to train from \
                 scratch, or pass --weights pretrained",
                settings.model
            ),
            ("none", _) => None,
            ("pretrained", _) => Some(zoo.locate(model.as_ref(), None, &mut progress)?),
            (named, Some(_)) => Some(zoo.locate(model.as_ref(), Some(named), &mut progress)?),
            (named, None) => {
                // The tag of weights of B0 is enough.
                let of_b0 = format!("{}.{named}", Variant::B0);
                let is_tag = zoo.manifest.get(&of_b0).is_ok();
                Some(zoo.locate(None, Some(if is_tag { &of_b0 } else { named }), &mut progress)?)
            }
        };
        Self::of_weights(
            settings,
            model.map(|model| model.variant),
            weights,
            (task, classes),
            zoo,
        )
    }

    /// Like [`open`](Self::open), but with `weights` instead of those named by the settings. Without `variant`, the
    /// architecture is that of the weights.
    pub(super) fn of_weights(
        settings: &Settings,
        variant: Option<Variant>,
        weights: Option<Weights>,
        (task, classes): (Task, &[String]),
        zoo: &Zoo,
    ) -> anyhow::Result<Self> {
        let profile = match settings.profile {
            ProfileName::Auto => None,
            ProfileName::Tf => Some(Profile::Tf),
            ProfileName::Timm => Some(Profile::Timm),
            ProfileName::Torchvision => Some(Profile::Torchvision),
        };
        let wanted = PreprocessingOverrides::default()
            .with_image_size(settings.image_size.value().map(|side| side as usize))
            .with_crop_pct(settings.crop_pct.value());
        let options = ModelOptions::default()
            .with_variant(variant)
            .with_key(Some(settings.key.clone()).filter(|key| !key.is_empty()))
            .with_profile(profile);
        let file = weights
            .map(|weights| ModelFile::inspect(weights, &options))
            .transpose()?;
        let variant = match &file {
            Some(file) => file.variant,
            None => variant.unwrap_or(Variant::B0),
        };
        let (profile, transform) = match &file {
            Some(file) => (file.profile, transform(&wanted, file, &zoo.manifest)?),
            None => (
                profile.unwrap_or(Profile::Tf),
                transform_of_variant(&wanted, variant, &zoo.manifest)?,
            ),
        };
        let of_task = file.as_ref().filter(|file| file.task() == task);
        let labels = of_task.and_then(|file| file.metadata.labels.as_ref());
        let mut config = Config::new(variant)
            .with_profile(profile)
            .with_num_classes(classes.len());
        config.image_size = [transform.image_size; 2];
        config.dropout_rate = settings.dropout.value().unwrap_or(config.dropout_rate);
        config.drop_connect_rate = settings.drop_connect.value().unwrap_or(config.drop_connect_rate);
        Ok(Self {
            variant,
            profile,
            config,
            transform,
            keeps_classifier: labels.is_some_and(|labels| labels == classes),
            task,
            file,
        })
    }

    /// Returns the line about the network that is printed before training.
    pub(super) fn describe(&self) -> String {
        let side = self.transform.image_size;
        let weights = match &self.file {
            None => "from scratch".to_owned(),
            Some(file) if self.keeps_classifier => {
                format!("starting from {}, including its classifier", file.weights().name)
            }
            Some(file) => format!(
                "starting from {}, new classifier for {}",
                file.weights().name,
                counted(self.config.num_classes, noun(self.task))
            ),
        };
        format!("{} at {side}x{side}, {weights}", self.variant)
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn variant(&self) -> Variant {
        self.variant
    }

    /// Returns whether training starts from scratch.
    pub(super) fn is_random(&self) -> bool {
        self.file.is_none()
    }

    /// Returns whether the weights were trained on the classes of the data set, so that their classifier is
    /// kept.
    pub(super) fn keeps_classifier(&self) -> bool {
        self.keeps_classifier
    }

    /// Returns the batch-norm momentum for a training run of `steps` steps: the profile's momentum, unless
    /// the running statistics would still contain much of their initial values at the end.
    pub(super) fn batch_norm_momentum(&self, steps: u64) -> f64 {
        /// Minimum length of a training run, in time constants of the running average.
        const RENEWALS: f64 = 20.0;
        /// PyTorch's default. With a higher momentum, the statistics would be those of the last few batches.
        const MOST: f64 = 0.1;
        let profile = self.profile.batch_norm_momentum(self.config.family());
        profile.max((RENEWALS / steps.max(1) as f64).min(MOST))
    }

    /// Returns the network with its initial weights, which are equal for equal seeds on every device.
    pub(super) fn network(&self, device: Device, settings: &Settings) -> anyhow::Result<EfficientNet> {
        tch::manual_seed(settings.seed.cast_signed());
        // Another device would draw other weights from the same seed.
        let mut store = nn::VarStore::new(Device::Cpu);
        let network = self.draw(&store, settings)?;
        store.set_device(device);
        Ok(network)
    }

    fn draw(&self, store: &nn::VarStore, settings: &Settings) -> anyhow::Result<EfficientNet> {
        let mut config = self.config.clone();
        if let Some(momentum) = settings.bn_momentum.value() {
            config.batch_norm_momentum = momentum;
        }
        let Some(file) = &self.file else {
            return Ok(match settings.init {
                InitName::Tensorflow => {
                    let network = EfficientNet::new(&store.root(), &config)?;
                    shrink_classifier(&network)?;
                    network
                }
                InitName::Pytorch => {
                    EfficientNet::with_initialisation(&store.root(), &config, Initialisation::PyTorch)?
                }
            });
        };
        let options = LoadOptions::default().with_new_classifier(!self.keeps_classifier);
        let parameters = file.parameters(&config, options)?;
        let network = EfficientNet::from_parameters(&store.root(), &parameters)
            .with_context(|| file.path().display().to_string())?;
        if !self.keeps_classifier {
            shrink_classifier(&network)?;
        }
        Ok(network)
    }

    /// Returns the mean and the standard deviation of each value that a kept classifier predicts.
    pub(super) fn targets(&self) -> Option<&[Vec<f64>; 2]> {
        let file = self.file.as_ref().filter(|_| self.keeps_classifier)?;
        file.metadata.targets.as_ref()
    }

    /// Returns the metadata for the run's weight files. `scale` is the mean and the standard deviation of each value.
    pub(super) fn metadata(&self, classes: &[String], scale: Option<&[Vec<f64>; 2]>) -> ModelMetadata {
        let mut metadata = ModelMetadata::default().with_transform(&self.transform);
        metadata.variant = Some(self.variant.name().to_owned());
        metadata.profile = Some(self.profile);
        metadata.labels = Some(classes.to_vec());
        // Weights without a task are for classification.
        metadata.task = Some(self.task).filter(|task| *task != Task::Classify);
        metadata.targets = scale.cloned();
        metadata
    }
}

/// Scales the weights of a new classifier down to `1 / sqrt(features)`, PyTorch's bound for a linear layer.
/// The original bound is `1 / sqrt(classes)`, which is about the same for ImageNet. With few classes, it
/// makes the logits so large that the first epochs only shrink them.
fn shrink_classifier(network: &EfficientNet) -> anyhow::Result<()> {
    let config = network.config();
    let factor = (config.num_classes as f64 / config.head_channels() as f64).sqrt();
    if factor >= 1.0 {
        return Ok(());
    }
    for (_, weights) in network.named_tensors().filter(|(name, _)| *name == "_fc.weight") {
        let _ = tch::no_grad(|| weights.shallow_clone().f_mul_scalar_(factor))?;
    }
    Ok(())
}

/// What the outputs of a network are called.
pub(super) fn noun(task: Task) -> &'static str {
    match task {
        Task::Classify => "class",
        Task::MultiLabel => "label",
        Task::Regression => "value",
    }
}
