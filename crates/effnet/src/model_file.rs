//! Opens weight files and determines what is needed to run them: variant, profile, number of classes, labels.
//!
//! An ordinary `.pth` contains none of this, and a wrong profile gives wrong logits without an error. In
//! order of priority: the user's settings, the metadata in the file, the manifest, and what the names
//! suggest.

use std::path::Path;

use effnet_architecture::{Config, Profile, Scheme, Signature, Variant};
use effnet_checkpoint::{Checkpoint, OpenOptions, StateDict};
use effnet_hub::Entry;

use crate::{
    EfficientNetNames, EngineOptions, Error, Labels, LoadOptions, ModelMetadata, Parameters,
    PreprocessingOverrides, Weights,
};

/// Number of classes of ImageNet, which the published weights are for.
const IMAGENET_CLASSES: usize = 1000;

/// Options of the caller: a description of the weights, and how to run them. Whatever is not set comes from
/// the weight file, from what is published about it, or from its names.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ModelOptions {
    /// The variant that is expected; another one is an error.
    pub variant: Option<Variant>,
    /// Padding and batch-norm epsilon that the weights were trained with.
    pub profile: Option<Profile>,
    /// The number of classes that is expected; another one is an error.
    pub num_classes: Option<usize>,
    /// Names of the classes, one per class.
    pub labels: Option<Labels>,
    /// Image size, crop, interpolation and normalisation.
    pub preprocessing: PreprocessingOverrides,
    /// Precision, threads and concurrent calls of a [`Model`](crate::Model).
    pub engine: EngineOptions,
}

impl ModelOptions {
    /// Sets [`variant`](Self::variant).
    #[must_use]
    pub fn with_variant(mut self, variant: impl Into<Option<Variant>>) -> Self {
        self.variant = variant.into();
        self
    }

    /// Sets [`profile`](Self::profile).
    #[must_use]
    pub fn with_profile(mut self, profile: impl Into<Option<Profile>>) -> Self {
        self.profile = profile.into();
        self
    }

    /// Sets [`num_classes`](Self::num_classes).
    #[must_use]
    pub fn with_num_classes(mut self, num_classes: impl Into<Option<usize>>) -> Self {
        self.num_classes = num_classes.into();
        self
    }

    /// Sets [`labels`](Self::labels).
    #[must_use]
    pub fn with_labels(mut self, labels: impl Into<Option<Labels>>) -> Self {
        self.labels = labels.into();
        self
    }

    /// Sets [`preprocessing`](Self::preprocessing).
    #[must_use]
    pub fn with_preprocessing(mut self, preprocessing: PreprocessingOverrides) -> Self {
        self.preprocessing = preprocessing;
        self
    }

    /// Sets [`engine`](Self::engine).
    #[must_use]
    pub fn with_engine(mut self, engine: EngineOptions) -> Self {
        self.engine = engine;
        self
    }
}

/// An opened weight file, with what the user, the manifest and the file say about its network. No parameters
/// have been read yet.
#[derive(Debug)]
pub struct ModelFile {
    weights: Weights,
    checkpoint: Checkpoint,
    /// Metadata in the file.
    pub metadata: ModelMetadata,
    /// Variant of the network.
    pub variant: Variant,
    /// Naming scheme of the parameters.
    pub scheme: Scheme,
    /// Padding and batch-norm constants that the weights were trained with.
    pub profile: Profile,
    num_classes: usize,
}

impl ModelFile {
    /// Opens weights and determines variant, profile and number of classes. The expected number of classes is
    /// the user's, the number of labels, the number of names in the file, the published one, or 1000.
    ///
    /// # Errors
    /// Same as [`inspect`](Self::inspect), and [`Error::Classes`], [`Error::NoClassifier`] and
    /// [`Error::LabelCount`] where the file has another number of classes.
    pub fn open(weights: Weights, options: &ModelOptions) -> Result<Self, Error> {
        let mut file = Self::inspect(weights, options)?;
        let labels = options.labels.as_ref();
        let named = labels
            .map(Labels::len)
            .or(file.metadata.labels.as_ref().map(Vec::len));
        let published = file.entry().map(|entry| entry.classes);
        let expected = options
            .num_classes
            .or(named)
            .or(published)
            .unwrap_or(IMAGENET_CLASSES);
        let path = || file.path().to_owned();
        match file.signature()?.num_classes {
            Some(found) if found == expected => {}
            Some(found) => {
                return Err(Error::Classes {
                    path: path(),
                    found,
                    expected,
                });
            }
            None => {
                return Err(Error::NoClassifier {
                    path: path(),
                    expected,
                });
            }
        }
        file.num_classes = expected;
        match labels {
            Some(labels) if labels.len() != expected => Err(Error::LabelCount {
                found: labels.len(),
                expected,
            }),
            _ => Ok(file),
        }
    }

    /// Opens weights with any number of classes and determines variant and profile.
    ///
    /// # Errors
    /// [`Error::Checkpoint`], [`Error::NotEfficientNet`], [`Error::OtherVariant`], [`Error::NoVariant`],
    /// [`Error::Metadata`].
    pub fn inspect(weights: Weights, options: &ModelOptions) -> Result<Self, Error> {
        let checkpoint = weights.open(&OpenOptions::default())?;
        let path = || weights.path().to_owned();
        let metadata = ModelMetadata::from_entries(checkpoint.metadata())
            .map_err(|source| Error::Metadata { path: path(), source })?;
        let signature = checkpoint.state_dict().signature();
        let signature = signature.map_err(|source| Error::NotEfficientNet { path: path(), source })?;
        let variant = match (options.variant, Variant::recognise(&signature)) {
            (Some(asked), Some(found)) if asked != found => {
                return Err(Error::OtherVariant {
                    path: path(),
                    asked,
                    found,
                });
            }
            // Strict loading reports what is wrong with it.
            (Some(variant), _) | (None, Some(variant)) => variant,
            (None, None) => return Err(Error::NoVariant { path: path() }),
        };
        let scheme = signature.scheme;
        let entry = weights.entry.as_ref();
        let profile = options
            .profile
            .unwrap_or_else(|| infer_profile(&metadata, entry, weights.path(), scheme, variant));
        Ok(Self {
            num_classes: signature.num_classes.unwrap_or(0),
            weights,
            checkpoint,
            metadata,
            variant,
            scheme,
            profile,
        })
    }

    fn signature(&self) -> Result<Signature, Error> {
        self.state_dict()
            .signature()
            .map_err(|source| Error::NotEfficientNet {
                path: self.path().to_owned(),
                source,
            })
    }

    /// The weights and their name.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The opened checkpoint.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The tensors, with the names in the file.
    pub fn state_dict(&self) -> &StateDict {
        self.checkpoint.state_dict()
    }

    /// Number of classes; 0 without a classifier.
    pub fn num_classes(&self) -> usize {
        self.num_classes
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        self.weights.path()
    }

    /// The manifest entry of these weights, found by id or by file name.
    pub fn entry(&self) -> Option<&Entry> {
        self.weights.entry.as_ref()
    }

    /// Configuration of the network, with a classifier for `num_classes` classes.
    pub fn config(&self, num_classes: usize) -> Config {
        Config::new(self.variant)
            .with_profile(self.profile)
            .with_num_classes(num_classes)
    }

    /// The parameters of the file, checked against the network of `config`.
    ///
    /// # Errors
    /// [`Error::Load`] with all differences.
    pub fn parameters(&self, config: &Config, options: LoadOptions) -> Result<Parameters, Error> {
        Parameters::from_state_dict(config, self.state_dict(), options).map_err(|source| Error::Load {
            path: self.path().to_owned(),
            variant: self.variant,
            source,
        })
    }

    /// Class names: the user's, the file's or ImageNet's. `None` if neither the user nor the file provides
    /// names and the number of classes is not 1000.
    ///
    /// # Errors
    /// [`Error::Labels`] when ImageNet's names cannot be read.
    pub fn labels(&self, own: Option<Labels>) -> Result<Option<Labels>, Error> {
        if own.is_some() {
            return Ok(own);
        }
        Ok(match &self.metadata.labels {
            Some(names) => Some(Labels::from_names(names.clone())),
            None if self.num_classes == IMAGENET_CLASSES => Some(Labels::imagenet()?),
            None => None,
        })
    }
}

/// The profile of a file: from its metadata, from the manifest, or as its names suggest.
pub fn infer_profile(
    metadata: &ModelMetadata,
    entry: Option<&Entry>,
    path: &Path,
    scheme: Scheme,
    variant: Variant,
) -> Profile {
    if let Some(stated) = metadata.profile.or(entry.map(|entry| entry.profile)) {
        return stated;
    }
    // In timm, TensorFlow ports have the same parameter names as its own networks; only file names differ.
    let is_port = path
        .file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.starts_with("tf_efficientnet"));
    if scheme == Scheme::Timm && is_port {
        return Profile::Tf;
    }
    Profile::default_for(scheme, Some(variant))
}
