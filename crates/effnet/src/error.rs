//! What can go wrong between a name and a network that is ready to run.

use std::path::PathBuf;

use effnet_architecture::{NamingError, Variant};

use crate::{BackendError, LabelsError, LoadError, MetadataError};

/// An error of [`Zoo`](crate::Zoo) and [`ModelFile`](crate::ModelFile).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `--model` and `--weights` name two sets of weights.
    #[error("the model names the weights {model} and the weights are {weights}; leave one of them out")]
    TwoWeights {
        /// The id that the model's name is.
        model: String,
        /// What was named as the weights.
        weights: String,
    },
    /// Neither a file nor published weights.
    #[error("{name}: no such file, and no published weights of this id (`effnet models --all` lists them)")]
    UnknownWeights {
        /// What was asked for.
        name: String,
        /// With the nearest ids.
        source: effnet_hub::Error,
    },
    /// A folder that is not a training run's.
    #[error("{}: no weights in this folder, expected best.safetensors or last.safetensors of a training", path.display())]
    NoWeightsInFolder {
        /// The folder.
        path: PathBuf,
    },
    /// Published weights cannot be had, or a manifest cannot be read.
    #[error(transparent)]
    Hub(#[from] effnet_hub::Error),
    /// The file cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] effnet_checkpoint::Error),
    /// The file's metadata cannot be understood.
    #[error("{}", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// The entry.
        source: MetadataError,
    },
    /// The file's metadata cannot be used to prepare images.
    #[error("{}: unusable metadata", path.display())]
    Preprocessing {
        /// The file.
        path: PathBuf,
        /// The entry.
        source: MetadataError,
    },
    /// The tensors of the file are of another network.
    #[error("{}: not an EfficientNet (`effnet inspect` lists its tensors)", path.display())]
    NotEfficientNet {
        /// The file.
        path: PathBuf,
        /// What is missing or unknown.
        source: NamingError,
    },
    /// The file is for another variant than the one that was asked for.
    #[error(
        "{}: the parameters of {found}, expected {asked}; pass --model {found} or leave --model out",
        path.display()
    )]
    OtherVariant {
        /// The file.
        path: PathBuf,
        /// The variant that was asked for.
        asked: Variant,
        /// The variant of the file.
        found: Variant,
    },
    /// The file's network is not a named variant.
    #[error(
        "{}: an EfficientNet with other widths or depths than b0 to b8 and l2; the command line knows no \
         others, a program can build one with effnet-core",
        path.display()
    )]
    NoVariant {
        /// The file.
        path: PathBuf,
    },
    /// The file has another number of classes than expected.
    #[error(
        "{}: found {found} classes, expected {expected}; pass --num-classes {found}, and --labels FILE with their \
         names",
        path.display()
    )]
    Classes {
        /// The file.
        path: PathBuf,
        /// Classes of its classifier.
        found: usize,
        /// Classes that were asked for, that there are labels for, or of ImageNet.
        expected: i64,
    },
    /// The file has no classifier.
    #[error("{}: no classifier in this file, expected one with {expected} classes", path.display())]
    NoClassifier {
        /// The file.
        path: PathBuf,
        /// Classes that were expected.
        expected: i64,
    },
    /// The labels are not as many as the classes.
    #[error("{found} labels, expected {expected}, one for each class")]
    LabelCount {
        /// The number of labels.
        found: usize,
        /// The number of classes.
        expected: i64,
    },
    /// Class names cannot be read.
    #[error(transparent)]
    Labels(#[from] LabelsError),
    /// The parameters do not fit the network.
    #[error("{}: cannot be loaded as {variant}", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// The network.
        variant: Variant,
        /// What differs.
        source: LoadError,
    },
    /// The network cannot be prepared or run.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The weights cannot be read to compute their digest.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}
