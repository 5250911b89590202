//! [`Batch`]: what a data loader yields, mixup changes, a device receives and a step trains on.

use tch::{Device, Tensor};

use crate::{Error, FeatureCache};

/// Images and their targets.
#[derive(Debug)]
#[non_exhaustive]
pub struct Batch {
    /// The images, `[N, channels, H, W]`, normalised and on any device.
    pub images: Tensor,
    /// The targets, one per image, on any device.
    pub targets: Targets,
    /// The indices of the images in their data set; empty for a batch from elsewhere.
    pub indices: Vec<usize>,
    /// The features of the images, for a step in which only the head is trained. Images whose features it contains
    /// may be left blank. `None` by default.
    pub cache: Option<FeatureCache>,
    /// The number of the batch in its epoch, counting from 0. To resume after it, start from `number + 1`.
    pub number: usize,
}

impl Batch {
    /// Creates a batch that does not come from a [`Loader`](crate::data::Loader).
    pub fn new(images: Tensor, targets: Targets) -> Self {
        Self {
            images,
            targets,
            indices: Vec::new(),
            cache: None,
            number: 0,
        }
    }
}

/// The targets of a batch.
#[derive(Debug)]
#[non_exhaustive]
pub enum Targets {
    /// The class of each image: `[N]`, as 64-bit integers.
    Classes(Tensor),
    /// The probability of each class for each image, for example from mixup and cutmix: `[N, classes]`, floats
    /// whose rows sum to one.
    Probabilities(Tensor),
    /// Numbers for each image: `[N, outputs]`, floats. For several labels per image, 1 or 0 for each label; for
    /// regression, the values to predict.
    Values(Tensor),
}

impl Targets {
    /// The underlying tensor.
    pub fn tensor(&self) -> &Tensor {
        match self {
            Self::Classes(tensor) | Self::Probabilities(tensor) | Self::Values(tensor) => tensor,
        }
    }

    /// Copies the targets to another device.
    pub(crate) fn to_device(&self, device: Device) -> Result<Self, Error> {
        let tensor = self.tensor().f_to_device(device)?;
        Ok(match self {
            Self::Classes(_) => Self::Classes(tensor),
            Self::Probabilities(_) => Self::Probabilities(tensor),
            Self::Values(_) => Self::Values(tensor),
        })
    }
}
