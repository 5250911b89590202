//! Where a training begins: the network, the parameters it starts with, and its input.

use anyhow::{Context, bail};
use effnet::{
    LoadOptions, ModelFile, ModelMetadata, ModelName, ModelOptions, PreprocessingOverrides, Weights, Zoo,
    transform, transform_of_variant,
};
use effnet_architecture::CropMode;
use effnet_cli::DownloadProgress;
use effnet_core::{Config, EfficientNet, Profile, Variant};
use effnet_image::{EvalTransform, ResizeMode};
use tch::{Device, nn};

use effnet_cli::Printer;
use effnet_cli::training::settings::Settings;
use effnet_cli::training::values::ProfileName;

/// The network and its input.
pub(super) struct Origin {
    variant: Variant,
    profile: Profile,
    config: Config,
    /// How images are evaluated.
    pub(super) transform: EvalTransform,
    /// The parameters; `None` for random ones.
    file: Option<ModelFile>,
    /// Whether the file's classifier is for the same classes.
    keeps_classifier: bool,
}

impl Origin {
    /// Finds, and fetches if need be, what `settings` name.
    pub(super) fn open(
        settings: &Settings,
        classes: &[String],
        zoo: &Zoo,
        printer: &Printer,
    ) -> anyhow::Result<Self> {
        let model: ModelName = settings.model.parse().context("`model`")?;
        let mut progress = DownloadProgress::new(printer);
        let weights = match (settings.weights.as_str(), &model.tag) {
            ("none", Some(tag)) => bail!(
                "`model` names the weights {tag}, and `weights` is none; leave the tag out to begin from \
                 nothing, or pass --weights pretrained"
            ),
            ("none", None) => None,
            ("pretrained", _) => Some(zoo.locate(Some(&model), None, &mut progress)?),
            (named, _) => Some(zoo.locate(Some(&model), Some(named), &mut progress)?),
        };
        Self::of_weights(settings, model.variant, weights, classes, zoo)
    }

    /// As [`open`](Self::open), with these weights whatever the settings say.
    pub(super) fn of_weights(
        settings: &Settings,
        variant: Variant,
        weights: Option<Weights>,
        classes: &[String],
        zoo: &Zoo,
    ) -> anyhow::Result<Self> {
        let profile = match settings.profile {
            ProfileName::Auto => None,
            ProfileName::Tf => Some(Profile::Tf),
            ProfileName::Timm => Some(Profile::Timm),
            ProfileName::Torchvision => Some(Profile::Torchvision),
        };
        let wanted = PreprocessingOverrides::default()
            .with_image_size(settings.image_size.value())
            .with_crop_pct(settings.crop_pct.value());
        let options = ModelOptions::default()
            .with_variant(Some(variant))
            .with_profile(profile);
        let file = weights
            .map(|weights| ModelFile::inspect(weights, &options))
            .transpose()?;
        let (profile, transform) = match &file {
            Some(file) => (file.profile, transform(&wanted, file, &zoo.manifest)?),
            None => (
                profile.unwrap_or(Profile::Tf),
                transform_of_variant(&wanted, variant, &zoo.manifest)?,
            ),
        };
        let labels = file.as_ref().and_then(|file| file.metadata.labels.as_ref());
        let mut config = Config::new(variant)
            .with_profile(profile)
            .with_num_classes(classes.len() as i64);
        config.image_size = [transform.image_size as i64; 2];
        config.dropout_rate = settings.dropout.value().unwrap_or(config.dropout_rate);
        config.drop_connect_rate = settings.drop_connect.value().unwrap_or(config.drop_connect_rate);
        Ok(Self {
            variant,
            profile,
            config,
            transform,
            keeps_classifier: labels.is_some_and(|labels| labels == classes),
            file,
        })
    }

    /// What the network is, and what it begins with.
    pub(super) fn describe(&self) -> String {
        let side = self.transform.image_size;
        let weights = match &self.file {
            None => "random parameters".to_owned(),
            Some(file) if self.keeps_classifier => {
                format!("the parameters and the classifier of {}", file.weights().name)
            }
            Some(file) => format!("the parameters of {} and a new classifier", file.weights().name),
        };
        format!("{} with {side}x{side} pixels and {weights}", self.variant)
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn variant(&self) -> Variant {
        self.variant
    }

    /// Whether the parameters are for the classes of the data.
    pub(super) fn keeps_classifier(&self) -> bool {
        self.keeps_classifier
    }

    /// The momentum of batch normalisation in a training of so many steps: the profile's, unless its
    /// statistics would still be of the beginning at the end.
    pub(super) fn batch_norm_momentum(&self, steps: u64) -> f64 {
        /// How often the statistics should be renewed in a training.
        const RENEWALS: f64 = 20.0;
        /// PyTorch's own, below which statistics are those of the last few batches.
        const MOST: f64 = 0.1;
        let profile = self.profile.batch_norm_momentum();
        profile.max((RENEWALS / steps.max(1) as f64).min(MOST))
    }

    /// A network with the parameters that the training begins with: equal ones for equal seeds.
    pub(super) fn network(&self, device: Device, settings: &Settings) -> anyhow::Result<EfficientNet> {
        tch::manual_seed(settings.seed.cast_signed());
        let store = nn::VarStore::new(device);
        let mut config = self.config.clone();
        if let Some(momentum) = settings.bn_momentum.value() {
            config.batch_norm_momentum = momentum;
        }
        let Some(file) = &self.file else {
            let network = EfficientNet::new(&store.root(), &config)?;
            calm_classifier(&network)?;
            return Ok(network);
        };
        let options = LoadOptions::default().with_new_classifier(!self.keeps_classifier);
        let parameters = file.parameters(&config, options)?;
        let network = EfficientNet::from_parameters(&store.root(), &parameters)
            .with_context(|| file.path().display().to_string())?;
        if !self.keeps_classifier {
            calm_classifier(&network)?;
        }
        Ok(network)
    }

    /// What the weight files of the run say about themselves.
    pub(super) fn metadata(&self, classes: &[String]) -> ModelMetadata {
        let EvalTransform {
            image_size,
            resize,
            interpolation,
            mean,
            std,
        } = self.transform;
        let (resize_size, crop_pct, crop_mode) = match resize {
            ResizeMode::ShortSide(size) => (Some(size), None, CropMode::Center),
            ResizeMode::CropPct(part) => (None, Some(part), CropMode::Center),
            ResizeMode::Squash(part) => (None, Some(part), CropMode::Squash),
        };
        ModelMetadata {
            variant: Some(self.variant.name().to_owned()),
            profile: Some(self.profile),
            labels: Some(classes.to_vec()),
            image_size: Some(image_size),
            crop_pct,
            resize_size,
            crop_mode: Some(crop_mode),
            interpolation: Some(interpolation),
            mean: Some(mean.map(f64::from)),
            std: Some(std.map(f64::from)),
        }
    }
}

/// Makes the weights of a new classifier no larger than `1 / sqrt(features)`, PyTorch's bound for a linear
/// layer. The original's is `1 / sqrt(classes)`, which is about the same for ImageNet; with few classes it
/// gives logits that the first epochs only shrink.
fn calm_classifier(network: &EfficientNet) -> anyhow::Result<()> {
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
