//! Finds weights by name: published ids, files, and run folders.
//!
//! Every command resolves `--model` and `--weights` here, so that a name means the same everywhere.

use std::fs;
use std::path::{Path, PathBuf};

use effnet_architecture::Variant;
use effnet_checkpoint::{Checkpoint, OpenOptions};
use effnet_hub::{Entry, Hub, HubConfig, Manifest, Progress};

use crate::Error;

/// The manifest of published weights, and the hub that downloads and caches them.
#[derive(Debug)]
pub struct Zoo {
    /// The published weights.
    pub manifest: Manifest,
    /// Downloads and caches.
    pub hub: Hub,
}

/// A variant, or the id of weights for it: `b3`, `b3.advprop`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelName {
    /// The variant.
    pub variant: Variant,
    /// The part of an id after the dot.
    pub tag: Option<String>,
}

impl std::str::FromStr for ModelName {
    type Err = effnet_architecture::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (variant, tag) = match text.split_once('.') {
            Some((variant, tag)) => (variant, Some(tag.to_owned())),
            None => (text, None),
        };
        Ok(Self {
            variant: variant.parse()?,
            tag,
        })
    }
}

/// Weights that were found, and their manifest entry.
#[derive(Debug, Clone)]
pub struct Weights {
    /// Name for messages and reports: the id or the path.
    pub name: String,
    /// Where the parameters are.
    pub content: WeightsContent,
    /// The manifest entry, by id or by file name.
    pub entry: Option<Entry>,
}

/// Where weights are stored.
#[derive(Debug, Clone)]
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
    /// The embedded manifest, extended by `own_manifest`, and a hub with the caches and downloads of
    /// `config`, to which the bundled weights are added. Does not download or create anything.
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
        if let Some(path) = own_manifest {
            manifest.merge_file(path)?;
        }
        Ok(Self {
            manifest,
            hub: Hub::new(config),
        })
    }

    /// The published weights, with the caches, proxies and mirror of the environment
    /// ([`HubConfig::from_environment`]) and the manifest of `EFFNET_MANIFEST`, if set.
    ///
    /// # Errors
    /// Same as [`open`](Self::open).
    pub fn from_environment() -> Result<Self, Error> {
        let config = HubConfig::from_environment(|name| std::env::var_os(name));
        Self::open(config, Self::manifest_of_environment().as_deref())
    }

    /// The user's manifest, from `EFFNET_MANIFEST`, if set.
    pub fn manifest_of_environment() -> Option<PathBuf> {
        let named = std::env::var_os("EFFNET_MANIFEST")?;
        (!named.is_empty()).then(|| PathBuf::from(named))
    }

    /// The weights for `model` and `weights`, the values of `--model` and `--weights`. Published weights are
    /// downloaded unless they are cached. If both are `None`, the published weights of B0.
    ///
    /// # Errors
    /// [`Error::TwoWeights`], [`Error::UnknownWeights`], [`Error::NoWeightsInFolder`], [`Error::Hub`] when
    /// they cannot be downloaded.
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
            return self.fetch(self.manifest.get(&id)?, progress);
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
        self.locate_one(known.as_deref().unwrap_or(weights), progress)
    }

    /// Resolves one name: a run folder, a file, or the id of published weights.
    ///
    /// # Errors
    /// Same as [`locate`](Self::locate).
    pub fn locate_one(&self, name: impl AsRef<Path>, progress: &mut dyn Progress) -> Result<Weights, Error> {
        let name = name.as_ref();
        if name.is_dir() {
            return weights_of_run(name);
        }
        let shown = name.display().to_string();
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
            .map_err(|source| Error::UnknownWeights { name: shown, source })?;
        self.fetch(entry, progress)
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

/// The weights in a run folder: the best ones, or else the last.
fn weights_of_run(folder: &Path) -> Result<Weights, Error> {
    let path = ["best.safetensors", "last.safetensors"]
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
        || ["pth", "pt", "safetensors", "tar", "bin", "ckpt", "onnx", "h5"].contains(&ending)
}
