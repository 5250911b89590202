//! Errors from finding, opening and loading weights.
//!
//! They name the command-line flags that fix them, because the commands print them unchanged.

use std::path::PathBuf;

use effnet_architecture::{NamingError, Variant};
use effnet_checkpoint::quote_list;

use crate::{BackendError, LabelsError, LoadError, MetadataError};

/// An error of [`Zoo`](crate::Zoo) and [`ModelFile`](crate::ModelFile).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `--model` and `--weights` both name weights.
    #[error("--model {model} and --weights {weights} both name weights; pass only one of them")]
    TwoWeights {
        /// The model, which is the id of published weights.
        model: String,
        /// The weights.
        weights: String,
    },
    /// Neither a file nor the id of published weights.
    #[error("{name}: no such file, and no published weights with this id (`effnet models --all` lists them)")]
    UnknownWeights {
        /// The requested name.
        name: String,
        /// The error that lists the nearest ids.
        source: effnet_hub::Error,
    },
    /// A folder that is not a run folder.
    #[error(
        "{}: no weights in this folder, expected best.safetensors or last.safetensors of a training run, or \
         model.safetensors or pytorch_model.bin of a hub",
        path.display()
    )]
    NoWeightsInFolder {
        /// The folder.
        path: PathBuf,
    },
    /// Published weights are unavailable, or a manifest cannot be read.
    #[error(transparent)]
    Hub(#[from] effnet_hub::Error),
    /// The file cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] effnet_checkpoint::Error),
    /// The file's metadata is invalid.
    #[error("{}: invalid metadata", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// The invalid entry.
        source: MetadataError,
    },
    /// The preprocessing in the file's metadata is invalid.
    #[error("{}: invalid metadata", path.display())]
    Preprocessing {
        /// The file.
        path: PathBuf,
        /// The invalid entry.
        source: MetadataError,
    },
    /// The file contains another network.
    #[error("{}: not an EfficientNet that is supported (`effnet inspect --tensors` lists what it holds)", path.display())]
    NotEfficientNet {
        /// The file.
        path: PathBuf,
        /// What does not match.
        source: NamingError,
    },
    /// The file contains another variant than requested.
    #[error(
        "{}: found the parameters of {found}, expected {asked}; pass --model {found} or omit --model",
        path.display()
    )]
    OtherVariant {
        /// The file.
        path: PathBuf,
        /// The requested variant.
        asked: Variant,
        /// The variant of the file.
        found: Variant,
    },
    /// The network in the file is not a published variant.
    #[error(
        "{}: an EfficientNet whose widths or depths match none of b0 to b8 and l2, which the commands are \
         limited to; a program can build other networks with effnet-core",
        path.display()
    )]
    NoVariant {
        /// The file.
        path: PathBuf,
    },
    /// The classifier has another number of classes than expected.
    #[error(
        "{}: found {found} {}, expected {expected}; pass --num-classes {found}, and --labels FILE with their \
         names",
        path.display(),
        classes(*found)
    )]
    Classes {
        /// The file.
        path: PathBuf,
        /// Number of classes of its classifier.
        found: usize,
        /// Expected number of classes: as requested, or as there are labels in the file.
        expected: usize,
    },
    /// The file has no classifier.
    #[error(
        "{}: no classifier in this file{}{}; for feature vectors, use `effnet features`, to train one, \
         `effnet finetune`",
        path.display(),
        match expected {
            Some(expected) => format!(", expected one with {expected} {}", classes(*expected)),
            None => String::new(),
        },
        if aside.is_empty() { String::new() } else { format!(" (next to the network: {})", quote_list(aside)) }
    )]
    NoClassifier {
        /// The file.
        path: PathBuf,
        /// Expected number of classes.
        expected: Option<usize>,
        /// Tensors next to the network.
        aside: Vec<String>,
    },
    /// The head of the network is more than one linear layer.
    #[error(
        "{}: the classifier has several layers ({}), expected one linear layer; for feature vectors, use \
         `effnet features`, to train a new classifier, `effnet finetune`",
        path.display(),
        quote_list(layers)
    )]
    Head {
        /// The file.
        path: PathBuf,
        /// Names of its tensors.
        layers: Vec<String>,
    },
    /// The number of labels differs from the number of classes.
    #[error(
        "{found} {}, the weights have {expected} {}",
        if *found == 1 { "name" } else { "names" },
        classes(*expected)
    )]
    LabelCount {
        /// Number of labels.
        found: usize,
        /// Number of classes.
        expected: usize,
    },
    /// Class names cannot be read.
    #[error(transparent)]
    Labels(#[from] LabelsError),
    /// The tensors do not match the network.
    #[error("{}: cannot load as {variant}", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// The network.
        variant: Variant,
        /// The differences.
        source: LoadError,
    },
    /// The network cannot be prepared or run.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// An image cannot be read, decoded or transformed.
    #[error(transparent)]
    Image(#[from] effnet_data::DecodeFailure),
    /// The network returned NaN or infinity.
    #[error(transparent)]
    NotFinite(#[from] crate::NotFinite),
    /// The weights cannot be read to compute their digest.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

fn classes(count: usize) -> &'static str {
    if count == 1 { "class" } else { "classes" }
}
