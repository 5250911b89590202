//! Losses of classification.

use tch::{Kind, Reduction, Tensor};

use super::{Loss, shape};
use crate::{Error, Targets};

/// Cross-entropy as defined by `torch.nn.CrossEntropyLoss`, averaged over the batch.
#[derive(Debug, Default)]
pub struct CrossEntropy {
    label_smoothing: f64,
    class_weights: Option<Tensor>,
}

impl CrossEntropy {
    /// Creates a loss with `label_smoothing`, in `[0, 1)`: the share of the target probability that is spread over
    /// all classes.
    ///
    /// `class_weights`, one per class, weight the images; with [`Targets::Classes`], the mean is weighted too, as
    /// in PyTorch.
    ///
    /// # Errors
    /// [`Error::InvalidOption`].
    pub fn new(label_smoothing: f64, class_weights: Option<&[f64]>) -> Result<Self, Error> {
        if !(0.0..1.0).contains(&label_smoothing) {
            let expected = "0 or more, less than 1";
            return Err(Error::option("label_smoothing", expected, &label_smoothing));
        }
        let bad = |weight: &&f64| weight.is_nan() || **weight < 0.0;
        if let Some(bad) = class_weights.and_then(|weights| weights.iter().find(bad)) {
            return Err(Error::option("a class weight", "0 or more", &bad));
        }
        let class_weights = class_weights
            .map(|weights| Tensor::f_from_slice(weights)?.f_to_kind(Kind::Float))
            .transpose()?;
        Ok(Self {
            label_smoothing,
            class_weights,
        })
    }

    /// Computes the loss, a scalar, for logits `[N, classes]` of any floating-point kind. The computation is in 32
    /// bits.
    ///
    /// # Errors
    /// [`Error::Shape`] if targets or weights do not match the logits; [`Error::Torch`], which on the CPU includes
    /// classes that do not exist.
    pub fn forward(&self, logits: &Tensor, targets: &Targets) -> Result<Tensor, Error> {
        let size = logits.size();
        let [images, classes] = size[..] else {
            return Err(shape("the batch of logits", "[N, classes]".to_owned(), size));
        };
        let expected = match targets {
            Targets::Classes(_) => vec![images],
            Targets::Probabilities(_) => vec![images, classes],
            Targets::Values(values) => {
                let expected = "classes or probabilities of classes, for cross-entropy".to_owned();
                return Err(shape("the batch of targets", expected, values.size()));
            }
        };
        if targets.tensor().size() != expected {
            return Err(shape(
                "the batch of targets",
                format!("{expected:?}"),
                targets.tensor().size(),
            ));
        }
        let weights = self.class_weights.as_ref();
        let weights = weights
            .map(|weights| weights.f_to_device(logits.device()))
            .transpose()?;
        if let Some(weights) = weights.as_ref().filter(|weights| weights.size() != [classes]) {
            return Err(shape(
                "the list of class weights",
                format!("[{classes}]"),
                weights.size(),
            ));
        }
        let target = match targets {
            Targets::Classes(classes) => classes.shallow_clone(),
            Targets::Probabilities(values) | Targets::Values(values) => values.f_to_kind(Kind::Float)?,
        };
        Ok(logits.f_to_kind(Kind::Float)?.f_cross_entropy_loss(
            &target,
            weights.as_ref(),
            Reduction::Mean,
            // PyTorch's default `ignore_index`, which is not the index of any class.
            -100,
            self.label_smoothing,
        )?)
    }
}

impl Loss for CrossEntropy {
    fn loss(&self, outputs: &Tensor, targets: &Targets) -> Result<Tensor, Error> {
        self.forward(outputs, targets)
    }
}
