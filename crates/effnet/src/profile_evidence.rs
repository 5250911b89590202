//! Determines the numeric profile of a file that does not have this project's metadata.
//!
//! timm gives its own networks and its ports from TensorFlow the same parameter names, but their padding and
//! batch-norm epsilon differ, and the wrong ones give wrong logits without an error. Nearly every file says
//! which it is, but each training program says so in a different place.

use std::path::Path;

use effnet_architecture::{CropMode, Padding, Profile, Scheme, Variant};
use effnet_checkpoint::Checkpoint;
use effnet_hub::Entry;
use serde::Deserialize;

use crate::ModelMetadata;
use crate::hub_folder::read_text as read;
use crate::published_names::variant_in;
use crate::stated_constants::{StatedConstants, UnknownConstants, profile_of};

/// The source of a file's profile, most reliable first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ProfileSource {
    /// The caller set it.
    Caller,
    /// This project's metadata in the file.
    Metadata,
    /// A statement about the network in the file or in a configuration file next to it.
    Stated,
    /// The manifest of published weights.
    Published,
    /// The name of the file or of its folder.
    Name,
    /// The naming scheme implies it.
    Scheme,
    /// A guess: there is only the naming scheme, which is used with two profiles.
    Guess,
}

/// Returns the profile of a file and its source. Sources are tried in the order of [`ProfileSource`].
///
/// # Errors
/// [`UnknownConstants`] if the file or its folder states a padding and an epsilon that no profile combines.
pub(crate) fn settle(
    checkpoint: &Checkpoint,
    metadata: &ModelMetadata,
    config: &Config,
    entry: Option<&Entry>,
    scheme: Scheme,
    variant: Option<Variant>,
) -> Result<(Profile, ProfileSource), UnknownConstants> {
    let path = checkpoint.path();
    if let Some(profile) = metadata.profile {
        return Ok((profile, ProfileSource::Metadata));
    }
    if let Some(profile) = stated(checkpoint, config, scheme)? {
        return Ok((profile, ProfileSource::Stated));
    }
    if let Some(entry) = entry {
        return Ok((entry.profile, ProfileSource::Published));
    }
    if scheme == Scheme::Timm && is_named_port(path) {
        return Ok((Profile::Tf, ProfileSource::Name));
    }
    let is_own = matches!(variant, Some(Variant::V2RwT | Variant::V2RwS | Variant::V2RwM));
    let source = if scheme == Scheme::Timm && !is_own {
        ProfileSource::Guess
    } else {
        ProfileSource::Scheme
    };
    Ok((Profile::default_for(scheme, variant), source))
}

/// The profile that the file or its folder states: the constants of the layers, or else of the network and its
/// arguments in timm.
fn stated(
    checkpoint: &Checkpoint,
    config: &Config,
    scheme: Scheme,
) -> Result<Option<Profile>, UnknownConstants> {
    if let Some(profile) = of_layers(checkpoint, scheme)? {
        return Ok(Some(profile));
    }
    if scheme != Scheme::Timm {
        return Ok(None);
    }
    let texts = architectures(checkpoint).chain(config.architectures.iter().map(String::as_str));
    let network = of_architectures(texts);
    let mut constants = StatedConstants::default();
    for (path, value) in checkpoint.statements() {
        constants.take(path.rsplit('.').next().unwrap_or_default(), value);
    }
    for (argument, value) in &config.arguments {
        constants.take(argument, value);
    }
    constants.profile(network)
}

/// The folder of a file.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Whether the file or its folder is named after one of timm's ports from TensorFlow.
fn is_named_port(path: &Path) -> bool {
    let folder = path.parent().and_then(Path::file_name);
    let names = [path.file_name(), folder];
    names
        .into_iter()
        .flatten()
        .any(|name| name.to_string_lossy().to_ascii_lowercase().contains(PORT))
}

const PORT: &str = "tf_efficientnet";

/// The file's values under the usual keys, `arch` first: timm's `arch` is the network that was built, while
/// its `args.model` may be an alias.
fn architectures(checkpoint: &Checkpoint) -> impl Iterator<Item = &str> {
    let rank = |path: &str| match path.rsplit('.').next() {
        Some("arch" | "architecture") => 0,
        Some("model" | "model_name") => 1,
        _ => 2,
    };
    let mut stated: Vec<_> = checkpoint.statements().iter().collect();
    stated.sort_by_key(|(path, _)| rank(path));
    stated.into_iter().map(|(_, text)| text.as_str())
}

/// The profile of the first text that names a network of timm.
fn of_architectures<'a>(mut texts: impl Iterator<Item = &'a str>) -> Option<Profile> {
    texts.find_map(|text| {
        let text = text.to_ascii_lowercase();
        if text.contains(PORT) {
            return Some(Profile::Tf);
        }
        // timm writes an underscore; `efficientnet-b0` is a name in other libraries.
        let (_, rest) = text.split_once("efficientnet")?;
        let is_timms = rest.starts_with('_') || rest.starts_with("v2_");
        let (_, rest) = variant_in(&text).filter(|_| is_timms)?;
        let ends = !rest.starts_with(|next: char| next.is_ascii_alphanumeric());
        ends.then_some(Profile::Timm)
    })
}

/// Reads the profile from the layers of a pickled module.
fn of_layers(checkpoint: &Checkpoint, scheme: Scheme) -> Result<Option<Profile>, UnknownConstants> {
    let (conv, norm) = match scheme {
        Scheme::Lukemelas => ("_conv_stem", "_bn0"),
        Scheme::Timm => ("conv_stem", "bn1"),
        Scheme::Torchvision => ("features.0.0", "features.0.1"),
        // The padding of transformers' layers is in a layer before each of them. Keras does not pickle.
        Scheme::Transformers | Scheme::Keras => return Ok(None),
    };
    let find = |name: &str| {
        let name = format!("{}{name}", checkpoint.prefix());
        checkpoint.layers().iter().find(|layer| layer.name == name)
    };
    let epsilon = find(norm).and_then(|norm| norm.epsilon);
    let (Some(conv), Some(epsilon)) = (find(conv), epsilon.filter(|epsilon| !epsilon.is_nan())) else {
        return Ok(None);
    };
    let padding = if conv.class.contains("Same") {
        Padding::Same
    } else {
        Padding::Symmetric
    };
    profile_of(padding, f64::from(epsilon)).map(Some)
}

/// The contents of the configuration files next to a weight file.
#[derive(Debug, Default)]
pub(crate) struct Config {
    /// Names of networks.
    architectures: Vec<String>,
    /// Arguments of timm, and their values as text.
    arguments: Vec<(String, String)>,
    hub: HubConfig,
}

/// `config.json` of a model on the Hugging Face hub, as timm writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HubConfig {
    architecture: Option<String>,
    label_names: Option<Vec<String>>,
    model_args: Option<serde_json::Map<String, serde_json::Value>>,
    pretrained_cfg: PretrainedConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PretrainedConfig {
    architecture: Option<String>,
    input_size: Option<Vec<usize>>,
    crop_pct: Option<f64>,
    crop_mode: Option<String>,
    interpolation: Option<String>,
    mean: Option<[f64; 3]>,
    std: Option<[f64; 3]>,
}

impl Config {
    /// Reads `config.json`, and the training settings that timm and Lightning save, from the folder of a
    /// file. Ignores whatever is missing or not understood.
    pub(crate) fn beside(path: &Path) -> Self {
        let folder = folder_of(path);
        let hub: HubConfig = read(&folder.join("config.json"))
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        let named = [&hub.architecture, &hub.pretrained_cfg.architecture];
        let mut architectures: Vec<String> = named.into_iter().flatten().cloned().collect();
        let model_args = hub.model_args.iter().flatten();
        let mut arguments: Vec<(String, String)> = model_args
            .map(|(key, value)| match value {
                serde_json::Value::String(text) => (key.clone(), text.clone()),
                value => (key.clone(), value.to_string()),
            })
            .collect();
        // timm's train.py, and Lightning, which keeps checkpoints in a subfolder.
        for settings in ["args.yaml", "hparams.yaml", "../hparams.yaml"] {
            let text = read(&folder.join(settings)).unwrap_or_default();
            for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
                let (key, value) = (key.trim(), value.trim());
                architectures.push(value.to_owned());
                arguments.push((key.to_owned(), value.trim_matches(['\'', '"']).to_owned()));
            }
        }
        Self {
            architectures,
            arguments,
            hub,
        }
    }

    /// Fills in preprocessing and class names that the metadata does not have.
    pub(crate) fn complete(&self, metadata: &mut ModelMetadata, num_classes: Option<usize>) {
        let stated = &self.hub.pretrained_cfg;
        let side = match stated.input_size.as_deref() {
            Some(&[_, height, width]) if height == width && height > 0 => Some(height),
            _ => None,
        };
        // Take all of it from one source: a mixture of two would match neither.
        if metadata.image_size.is_none() && metadata.mean.is_none() && side.is_some() {
            metadata.image_size = side;
            metadata.crop_pct = stated.crop_pct.filter(|part| *part > 0.0 && *part <= 1.0);
            metadata.crop_mode = match stated.crop_mode.as_deref() {
                Some("squash") => Some(CropMode::Squash),
                _ => Some(CropMode::Center),
            };
            let named = stated.interpolation.as_deref();
            metadata.interpolation = named.and_then(|name| name.parse().ok());
            metadata.mean = stated.mean;
            metadata.std = stated.std;
        }
        if let Some(names) = &self.hub.label_names
            && metadata.labels.is_none()
            && Some(names.len()) == num_classes
        {
            metadata.labels = Some(names.clone());
        }
    }
}
