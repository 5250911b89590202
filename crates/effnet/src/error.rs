//! Errors from finding, opening and loading weights.
//!
//! They name the command-line flags that fix them, because the commands print them unchanged.

use std::path::PathBuf;

use effnet_architecture::{NamingError, Task, Variant};
use effnet_checkpoint::quote_list;

use crate::{BackendError, HubFolderError, LabelsError, LoadError, MetadataError};

/// An error of [`Zoo`](crate::Zoo) and [`ModelFile`](crate::ModelFile).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `--model` and `--weights` both name weights.
    #[error("--model {model} and --weights {weights} both name weights; pass only one of them")]
    TwoWeights {
        /// The value of `--model`, an id of published weights.
        model: String,
        /// The value of `--weights`.
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
    /// The name of a repository of the Hugging Face hub is invalid.
    #[error(transparent)]
    Repository(effnet_hub::RepositoryNameError),
    /// A folder that is not a run folder.
    #[error(
        "{}: no weights in this folder; expected best.safetensors or last.safetensors from a training run, or \
         model.safetensors or pytorch_model.bin from the Hugging Face hub",
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
    /// The file contains a different kind of network.
    #[error("{}: not a supported EfficientNet (`effnet inspect --tensors` lists its tensors)", path.display())]
    NotEfficientNet {
        /// The file.
        path: PathBuf,
        /// How the file differs from an EfficientNet.
        source: NamingError,
    },
    /// The file contains a different variant from the one requested.
    #[error(
        "{}: expected the parameters of {asked}, found those of {found}; pass --model {found} or omit --model",
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
        "{}: this EfficientNet's widths or depths match none of the published variants, the only ones \
         that the commands support; a Rust program can build other networks with effnet-core",
        path.display()
    )]
    NoVariant {
        /// The file.
        path: PathBuf,
    },
    /// The network in the file is a published variant whose channels were pruned.
    #[error(
        "{}: this EfficientNet was pruned: its blocks have widths of their own (timm's efficientnet_*_pruned), \
         which are not supported; expected one of b0 to b8 or l2, whose stages have one width each",
        path.display()
    )]
    Pruned {
        /// The file.
        path: PathBuf,
    },
    /// The file or its folder states a padding and a batch-norm epsilon that no profile combines.
    #[error(
        "{}: the file or the settings in its folder state `{padding}` padding and a batch-norm epsilon of {epsilon:?}, \
         which no profile combines; expected `same` and 1e-3 (profile tf), `symmetric` and 1e-5 (timm) or `symmetric` \
         and 1e-3 (torchvision); if the settings belong to other weights, pass --profile",
        path.display()
    )]
    UnknownProfile {
        /// The file.
        path: PathBuf,
        /// The padding: `same`, `symmetric` or `valid`.
        padding: &'static str,
        /// The epsilon.
        epsilon: f64,
    },
    /// The folder of the file states something about the network that is not supported.
    #[error(transparent)]
    HubFolder(#[from] HubFolderError),
    /// The classifier has an unexpected number of classes.
    #[error(
        "{}: expected {expected} {}, found {found}; pass --num-classes {found}, and --labels FILE with the \
         class names",
        path.display(),
        classes(*expected)
    )]
    Classes {
        /// The file.
        path: PathBuf,
        /// Number of classes of its classifier.
        found: usize,
        /// Expected number of classes: the requested number, or the number of labels in the file.
        expected: usize,
    },
    /// The file has no classifier.
    #[error(
        "{}: no classifier in this file{}{}; use `effnet features` for feature vectors, or `effnet finetune` \
         to train a classifier",
        path.display(),
        match expected {
            Some(expected) => format!(", expected one with {expected} {}", classes(*expected)),
            None => String::new(),
        },
        if aside.is_empty() { String::new() } else { format!(" (outside the network: {})", quote_list(aside)) }
    )]
    NoClassifier {
        /// The file.
        path: PathBuf,
        /// Expected number of classes.
        expected: Option<usize>,
        /// Names of the tensors outside the network.
        aside: Vec<String>,
    },
    /// The head of the network is more than one linear layer.
    #[error(
        "{}: the classifier has several layers ({}), expected one linear layer; use `effnet features` for \
         feature vectors, or `effnet finetune` to train a new classifier",
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
        "found {found} {}, but the weights have {expected} {}",
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
    /// The network was trained for another task than that of the function that was called.
    #[error(
        "{name}: the network was trained for the task `{task}`; call `{advice}` instead",
        advice = if *task == Task::Regression { "estimate" } else { "classify" }
    )]
    OtherTask {
        /// The id or path of the weights.
        name: String,
        /// The task of the network.
        task: Task,
    },
    /// A classification cannot be explained.
    #[error(transparent)]
    Explain(#[from] crate::ExplainError),
    /// The weights cannot be read to compute their digest.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

fn classes(count: usize) -> &'static str {
    if count == 1 { "class" } else { "classes" }
}
