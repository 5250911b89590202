//! [`ModelOptions`]: the settings with which a caller opens a network.

use effnet_architecture::{Profile, Task, Variant};

use crate::{EngineOptions, Labels, PreprocessingOverrides};

/// The caller's options: a description of the weights, and how to run them. Anything not set is taken from
/// the weight file, from what is published about it, or from its file and tensor names.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ModelOptions {
    /// The expected variant; any other is an error.
    pub variant: Option<Variant>,
    /// Padding and batch-norm epsilon that the weights were trained with.
    pub profile: Option<Profile>,
    /// The key of the network in a file that holds several networks; see
    /// [`OpenOptions::wrapper`](effnet_checkpoint::OpenOptions::wrapper).
    pub key: Option<String>,
    /// What the network was trained for.
    pub task: Option<Task>,
    /// The expected number of classes; any other is an error.
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

    /// Sets [`key`](Self::key).
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Option<String>>) -> Self {
        self.key = key.into();
        self
    }

    /// Sets [`task`](Self::task).
    #[must_use]
    pub fn with_task(mut self, task: impl Into<Option<Task>>) -> Self {
        self.task = task.into();
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
