//! What a run keeps of images while only the head is trained.

use effnet_data::Unreadable;
use tch::Tensor;

use crate::{FeatureCache, Targets};

/// The features that stay the same from epoch to epoch.
#[derive(Debug)]
pub(super) struct Kept {
    /// How many bytes of features to keep, each of training and of validation images.
    limit: u64,
    /// Those of the training images, and the version of the frozen layers; `None` in an epoch that trains other layers
    /// too.
    training: Option<(i64, FeatureCache)>,
    /// Those of the validation images, once all are known.
    validation: Option<KeptValidation>,
}

impl Kept {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            training: None,
            validation: None,
        }
    }

    /// Forgets everything, unless the epoch that starts trains only the head, on top of this version of the frozen
    /// layers.
    pub(super) fn start_epoch(&mut self, frozen: Option<i64>) {
        let known = self.training.as_ref().map(|(version, _)| *version);
        if frozen.is_none() || frozen != known {
            *self = Self::new(self.limit);
            self.training = frozen.map(|version| (version, FeatureCache::new(self.limit)));
        }
    }

    /// The features of the training images, in an epoch that trains only the head.
    pub(super) fn training(&self) -> Option<&FeatureCache> {
        self.training.as_ref().map(|(_, cache)| cache)
    }

    /// Returns the validation images if their features are those of this version of the frozen layers.
    pub(super) fn validation(&self, version: Option<i64>) -> Option<&KeptValidation> {
        let kept = self.validation.as_ref()?;
        version.filter(|version| *version == kept.version).map(|_| kept)
    }

    /// Starts to keep validation images, if their features have a version.
    pub(super) fn keep_validation(&self, version: Option<i64>) -> Option<KeptValidation> {
        Some(KeptValidation {
            version: version?,
            room: self.limit,
            batches: Vec::new(),
            unreadable: Vec::new(),
        })
    }

    pub(super) fn set_validation(&mut self, kept: Option<KeptValidation>) {
        self.validation = kept;
    }
}

/// The validation images as the head sees them.
#[derive(Debug)]
pub(super) struct KeptValidation {
    version: i64,
    /// The bytes that may still be kept.
    room: u64,
    pub(super) batches: Vec<(Tensor, Targets)>,
    pub(super) unreadable: Vec<Unreadable>,
}

impl KeptValidation {
    /// Adds a batch. Returns `None` if it is too large: then all of them have to be computed in every epoch.
    pub(super) fn with(mut self, features: Tensor, targets: Targets) -> Option<Self> {
        let values = (features.numel() + targets.tensor().numel()) as u64;
        self.room = self.room.checked_sub(values * 8)?;
        self.batches.push((features, targets));
        Some(self)
    }
}
