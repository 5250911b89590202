//! Opens weight files and determines what is needed to run them: variant, profile, number of classes, labels.
//!
//! An ordinary `.pth` contains none of this, and a wrong profile gives wrong logits without an error, so all
//! code that opens weights uses this module. [`ProfileSource`] lists the sources in order of priority.

use std::path::Path;

use effnet_architecture::{Config, Profile, Scheme, Signature, Task, Variant};
use effnet_checkpoint::{Checkpoint, StateDict};
use effnet_hub::Entry;

use crate::hub_folder::TransformersFolder;
use crate::metadata::wrong;
use crate::network_tensors::{NetworkTensors, head_layers, scaled_outputs, two_classes};
use crate::profile_evidence::{self, ProfileSource, settle};
use crate::{
    EfficientNetNames, Error, Labels, LoadOptions, ModelMetadata, ModelOptions, Parameters, Weights,
    WeightsContent,
};

/// Number of classes in ImageNet, which the published weights were trained on.
const IMAGENET_CLASSES: usize = 1000;

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
    /// The source of the profile.
    pub profile_source: ProfileSource,
    tensors: StateDict,
    warnings: Vec<String>,
    /// Names of training buffers among the network's tensors.
    training: Vec<String>,
    /// Name of the classifier, if it was found outside the network.
    classifier: Option<String>,
    num_classes: usize,
}

impl ModelFile {
    /// Opens weights and determines the variant, the profile and the number of classes. The number of classes
    /// comes from the file; if the caller states one, directly or through labels, the two must match. A
    /// single logit is read as two classes whose softmax is its sigmoid. The classifier of a network for regression is
    /// scaled such that its outputs are the values.
    ///
    /// # Errors
    /// Same as [`inspect`](Self::inspect), and [`Error::Classes`], [`Error::NoClassifier`], [`Error::Head`]
    /// and [`Error::LabelCount`] when the number of classes or the classifier does not match.
    pub fn open(weights: Weights, options: &ModelOptions) -> Result<Self, Error> {
        let mut file = Self::inspect(weights, options)?;
        let path = || file.path().to_owned();
        let Some(found) = file.signature()?.num_classes else {
            return Err(file.without_classifier(options));
        };
        let task = file.task();
        let is_logit = found == 1 && task == Task::Classify;
        let classes = if is_logit { 2 } else { found };
        let agrees = |count: usize| count == classes || count == found;
        if let Some(expected) = options.num_classes
            && !agrees(expected)
        {
            let path = path();
            return Err(Error::Classes {
                path,
                found,
                expected,
            });
        }
        if let Some(labels) = &options.labels {
            labels.check_count(classes)?;
        }
        if let Some(labels) = &file.metadata.labels
            && options.labels.is_none()
            && labels.len() != classes
        {
            let (path, expected) = (path(), labels.len());
            return Err(Error::Classes {
                path,
                found,
                expected,
            });
        }
        if is_logit {
            file.tensors = two_classes(&file.tensors).map_err(|error| Error::Load {
                path: file.path().to_owned(),
                variant: file.variant,
                source: error,
            })?;
            file.warnings.push(
                "the network has a single logit, interpreted as a sigmoid: class 0 below 50 %, class 1 above"
                    .to_owned(),
            );
        }
        file.num_classes = classes;
        if let Some([mean, std]) = file.metadata.targets.take() {
            file.tensors = scaled_outputs(&file.tensors, &mean, &std).map_err(|source| Error::Load {
                path: file.path().to_owned(),
                variant: file.variant,
                source,
            })?;
        }
        Ok(file)
    }

    /// What the network was trained for.
    pub fn task(&self) -> Task {
        self.metadata.task.unwrap_or_default()
    }

    /// The error for a file whose classifier is missing, or is more than a linear layer.
    fn without_classifier(&self, options: &ModelOptions) -> Error {
        let path = self.path().to_owned();
        match head_layers(&self.tensors) {
            layers if layers.is_empty() => Error::NoClassifier {
                path,
                expected: options.num_classes,
                aside: self.checkpoint.aside().names().map(str::to_owned).collect(),
            },
            layers => Error::Head { path, layers },
        }
    }

    /// Opens weights with any number of classes and determines the variant and the profile.
    ///
    /// # Errors
    /// [`Error::Checkpoint`], [`Error::NotEfficientNet`], [`Error::OtherVariant`], [`Error::NoVariant`],
    /// [`Error::Pruned`], [`Error::UnknownProfile`], [`Error::Metadata`], [`Error::HubFolder`].
    pub fn inspect(weights: Weights, options: &ModelOptions) -> Result<Self, Error> {
        let checkpoint = weights.open_network(options.key.as_deref())?;
        Self::from_checkpoint(weights, checkpoint, options)
    }

    /// Determines the variant and the profile of a checkpoint that was opened from these weights, for callers
    /// that also need checkpoints of other networks: nothing is opened twice. [`ModelOptions::key`] is ignored,
    /// because the checkpoint has settled it.
    ///
    /// # Errors
    /// Same as [`inspect`](Self::inspect), except [`Error::Checkpoint`].
    pub fn from_checkpoint(
        weights: Weights,
        checkpoint: Checkpoint,
        options: &ModelOptions,
    ) -> Result<Self, Error> {
        let path = || weights.path().to_owned();
        let mut metadata = ModelMetadata::from_entries(checkpoint.metadata())
            .map_err(|source| Error::Metadata { path: path(), source })?;
        let network = NetworkTensors::of(&checkpoint);
        let signature = network.tensors.signature();
        let signature = signature.map_err(|source| Error::NotEfficientNet { path: path(), source })?;
        let variant = match (options.variant, Variant::recognise(&signature)) {
            (Some(asked), Some(found)) if asked != found => {
                return Err(Error::OtherVariant {
                    path: path(),
                    asked,
                    found,
                });
            }
            (_, None) if signature.is_pruned => return Err(Error::Pruned { path: path() }),
            // Strict loading reports what is wrong with it.
            (Some(variant), _) | (None, Some(variant)) => variant,
            (None, None) => return Err(Error::NoVariant { path: path() }),
        };
        let beside = match weights.content {
            WeightsContent::File(ref path) => profile_evidence::Config::beside(path),
            WeightsContent::Bundled { .. } => profile_evidence::Config::default(),
        };
        let scheme = signature.scheme;
        let (profile, profile_source) = if let Some(profile) = options.profile {
            (profile, ProfileSource::Caller)
        } else {
            let entry = weights.entry.as_ref();
            let settled = settle(&checkpoint, &metadata, &beside, entry, scheme, Some(variant));
            settled.map_err(|unknown| Error::UnknownProfile {
                path: path(),
                padding: unknown.padding,
                epsilon: unknown.epsilon,
            })?
        };
        if let Some(task) = options.task {
            metadata.task = Some(task);
        }
        let outputs = signature.num_classes.unwrap_or(0);
        let is_short = |values: &Vec<f64>| values.len() != outputs;
        if metadata.thresholds.as_ref().is_some_and(is_short) {
            let source = wrong("thresholds", "one number per class", "another number");
            return Err(Error::Metadata { path: path(), source });
        }
        if metadata.targets.iter().flatten().any(is_short) {
            let source = wrong("target_mean", "one number per output", "another number");
            return Err(Error::Metadata { path: path(), source });
        }
        beside.complete(&mut metadata, signature.num_classes);
        if scheme == Scheme::Transformers
            && let WeightsContent::File(ref path) = weights.content
        {
            let folder = TransformersFolder::read(profile_evidence::folder_of(path), variant)?;
            folder.complete(&mut metadata, signature.num_classes);
        }
        Ok(Self {
            num_classes: signature.num_classes.unwrap_or(0),
            warnings: warnings(&network, profile, profile_source),
            tensors: network.tensors,
            training: network.training,
            classifier: network.classifier,
            weights,
            checkpoint,
            metadata,
            variant,
            scheme,
            profile,
            profile_source,
        })
    }

    fn signature(&self) -> Result<Signature, Error> {
        self.tensors.signature().map_err(|source| Error::NotEfficientNet {
            path: self.path().to_owned(),
            source,
        })
    }

    /// Names of everything in the file other than the network: other keys, and training tensors.
    pub fn left_out(&self) -> Vec<String> {
        let kept = self.classifier.as_ref();
        let parts = kept.map(|place| [format!("{place}.weight"), format!("{place}.bias")]);
        let is_kept = |name: &String| parts.as_ref().is_some_and(|parts| parts.contains(name));
        let outside = self.checkpoint.left_out().iter().filter(|name| !is_kept(name));
        outside.chain(&self.training).cloned().collect()
    }

    /// Warnings that the user should see before trusting the results: about a guessed profile, an input
    /// normalisation that is not applied, a single logit, or a classifier without a bias.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The weights and their name.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The opened checkpoint.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The tensors of the network, under their names in the file without the prefix.
    pub fn state_dict(&self) -> &StateDict {
        &self.tensors
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

    /// All parameters of the file, checked against its variant but with the file's numbers of classes and
    /// input channels.
    ///
    /// # Errors
    /// [`Error::Load`] with all differences, [`Error::Head`] for a classifier of several layers.
    pub fn all_parameters(&self) -> Result<Parameters, Error> {
        let signature = self.signature()?;
        let mut config = self.config(signature.num_classes.unwrap_or(1));
        config.include_top = signature.num_classes.is_some();
        config.in_channels = signature.in_channels;
        let layers = head_layers(&self.tensors);
        if !layers.is_empty() {
            let path = self.path().to_owned();
            return Err(Error::Head { path, layers });
        }
        self.parameters(&config, LoadOptions::default())
    }

    /// The metadata of the file, completed with the variant, the profile and the preprocessing of published weights, so
    /// that a file written with it needs nothing else.
    pub fn complete_metadata(&self) -> ModelMetadata {
        let mut metadata = self.metadata.clone();
        metadata.variant = Some(self.variant.name().to_owned());
        metadata.profile = Some(self.profile);
        match self.entry() {
            Some(entry) if metadata.image_size.is_none() => metadata.with_preprocessing(&entry.preprocessing),
            _ => metadata,
        }
    }

    /// Class names: the user's, the file's or ImageNet's. `None` if neither the user nor the file provides
    /// names and the number of classes is not 1000.
    ///
    /// # Errors
    /// [`Error::Labels`] when ImageNet's names cannot be read.
    pub fn labels(&self, own: Option<Labels>) -> Result<Option<Labels>, Error> {
        let labels = match &self.metadata.labels {
            _ if own.is_some() => own,
            Some(names) => Some(Labels::from_names(names.clone())),
            None if self.num_classes == IMAGENET_CLASSES => Some(Labels::imagenet()?),
            None => None,
        };
        Ok(labels.map(|labels| self.with_task(labels)))
    }

    /// Numbers the outputs of a network whose class names are not known.
    pub fn numbered_labels(&self) -> Labels {
        self.with_task(Labels::numbered(self.num_classes))
    }

    fn with_task(&self, labels: Labels) -> Labels {
        let thresholds = self.metadata.thresholds.clone();
        labels.with_task(self.task()).with_thresholds(thresholds)
    }
}

fn warnings(network: &NetworkTensors, profile: Profile, source: ProfileSource) -> Vec<String> {
    let mut warnings = Vec::new();
    if source == ProfileSource::Guess {
        warnings.push(match profile {
            Profile::Tf => "unknown profile, assuming tf, which the published weights of this network have; if timm \
                            trained these weights (not tf_efficientnet*), pass --profile timm"
                .to_owned(),
            _ => format!(
                "unknown profile, assuming {profile}: timm may have trained these weights (profile timm) or ported \
                 them from TensorFlow (tf_efficientnet_*, profile tf); if the results look wrong, pass --profile tf"
            ),
        });
    }
    if !network.normalisation.is_empty() {
        warnings.push(format!(
            "the input normalisation in the file ({}) is not applied; pass its values as --mean and --std",
            network.normalisation.join(", ")
        ));
    }
    if let Some(classifier) = &network.without_bias {
        warnings.push(format!("the classifier `{classifier}` has no bias; using zeros"));
    }
    warnings
}
