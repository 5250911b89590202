//! Losses for several labels per image: each label is a yes-or-no question of its own.
//!
//! The targets are [`Targets::Values`] `[N, labels]`, 1 for a label that applies and 0 for one that does not, or anything
//! between them from mixup. The losses are averaged over images and labels.

use tch::{Reduction, Tensor};

use super::{Loss, shape, values};
use crate::{Error, Targets};

/// Binary cross-entropy of each label, as defined by `torch.nn.BCEWithLogitsLoss`.
#[derive(Debug, Default)]
pub struct BinaryCrossEntropy {
    positive_weights: Option<Tensor>,
}

impl BinaryCrossEntropy {
    /// Creates a loss in which the images of label `i` count `positive_weights[i]` times, and the images without it
    /// once; all once without weights. Weights above 1 help labels that few images have.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for a negative weight.
    pub fn new(positive_weights: Option<&[f64]>) -> Result<Self, Error> {
        let is_bad = |weight: &&f64| !weight.is_finite() || **weight < 0.0;
        if let Some(bad) = positive_weights.and_then(|weights| weights.iter().find(is_bad)) {
            return Err(Error::option("a positive weight", "0 or more", &bad));
        }
        let weights = positive_weights
            .map(|weights| Tensor::f_from_slice(weights)?.f_to_kind(tch::Kind::Float))
            .transpose()?;
        Ok(Self {
            positive_weights: weights,
        })
    }
}

impl Loss for BinaryCrossEntropy {
    fn loss(&self, outputs: &Tensor, targets: &Targets) -> Result<Tensor, Error> {
        let (logits, labels) = values(outputs, targets)?;
        let weights = self.positive_weights.as_ref();
        let weights = weights
            .map(|weights| weights.f_to_device(logits.device()))
            .transpose()?;
        let columns = logits.size()[1];
        if let Some(weights) = weights.as_ref().filter(|weights| weights.size() != [columns]) {
            return Err(shape(
                "the list of positive weights",
                format!("[{columns}]"),
                weights.size(),
            ));
        }
        Ok(logits.f_binary_cross_entropy_with_logits(
            &labels,
            None::<&Tensor>,
            weights.as_ref(),
            Reduction::Mean,
        )?)
    }
}

/// The focal loss (Lin et al. 2017), which makes easy labels count less; with the definition of torchvision's
/// `sigmoid_focal_loss`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct FocalLoss {
    /// The weight of labels that apply, in `[0, 1]`; the others get the rest. `None` weights both alike. 0.25 by
    /// default.
    pub alpha: Option<f64>,
    /// The exponent: how much less an easy label counts. 0 or more; 2 by default.
    pub gamma: f64,
}

impl Default for FocalLoss {
    /// Returns the constants of the paper: an alpha of 0.25 and a gamma of 2.
    fn default() -> Self {
        Self {
            alpha: Some(0.25),
            gamma: 2.0,
        }
    }
}

impl FocalLoss {
    /// Sets [`alpha`](Self::alpha).
    #[must_use]
    pub fn with_alpha(mut self, alpha: impl Into<Option<f64>>) -> Self {
        self.alpha = alpha.into();
        self
    }

    /// Sets [`gamma`](Self::gamma).
    #[must_use]
    pub fn with_gamma(mut self, gamma: f64) -> Self {
        self.gamma = gamma;
        self
    }
}

impl Loss for FocalLoss {
    fn loss(&self, outputs: &Tensor, targets: &Targets) -> Result<Tensor, Error> {
        if let Some(alpha) = self.alpha.filter(|alpha| !(0.0..=1.0).contains(alpha)) {
            return Err(Error::option("the alpha of the focal loss", "0 to 1", &alpha));
        }
        check_exponent("the gamma of the focal loss", self.gamma)?;
        let (logits, labels) = values(outputs, targets)?;
        let losses = logits.f_binary_cross_entropy_with_logits(
            &labels,
            None::<&Tensor>,
            None::<&Tensor>,
            Reduction::None,
        )?;
        let others = one_minus(&labels)?;
        let probabilities = logits.f_sigmoid()?;
        let right = probabilities
            .f_mul(&labels)?
            .f_add(&one_minus(&probabilities)?.f_mul(&others)?)?;
        let focused = losses.f_mul(&one_minus(&right)?.f_pow_tensor_scalar(self.gamma)?)?;
        let weighted = match self.alpha {
            None => focused,
            Some(alpha) => {
                let weights = labels
                    .f_mul_scalar(alpha)?
                    .f_add(&others.f_mul_scalar(1.0 - alpha)?)?;
                focused.f_mul(&weights)?
            }
        };
        Ok(weighted.f_mean(None)?)
    }
}

/// The asymmetric loss (Ridnik et al. 2021, arXiv:2009.14119): a focal loss with an exponent of its own for labels that do
/// not apply, which are most, and which are ignored once their probability is below `clip`.
///
/// It is timm's `AsymmetricLossMultiLabel` with the reduction `mean`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct AsymmetricLoss {
    /// The exponent for labels that do not apply, 0 or more; 4 by default.
    pub gamma_negative: f64,
    /// The exponent for labels that apply, 0 or more; 1 by default.
    pub gamma_positive: f64,
    /// The probability below which a label that does not apply is ignored, in `[0, 1)`; 0.05 by default.
    pub clip: f64,
}

impl Default for AsymmetricLoss {
    /// Returns the constants of the paper for MS COCO, which are also timm's.
    fn default() -> Self {
        Self {
            gamma_negative: 4.0,
            gamma_positive: 1.0,
            clip: 0.05,
        }
    }
}

impl AsymmetricLoss {
    /// Sets [`gamma_negative`](Self::gamma_negative).
    #[must_use]
    pub fn with_gamma_negative(mut self, gamma_negative: f64) -> Self {
        self.gamma_negative = gamma_negative;
        self
    }

    /// Sets [`gamma_positive`](Self::gamma_positive).
    #[must_use]
    pub fn with_gamma_positive(mut self, gamma_positive: f64) -> Self {
        self.gamma_positive = gamma_positive;
        self
    }

    /// Sets [`clip`](Self::clip).
    #[must_use]
    pub fn with_clip(mut self, clip: f64) -> Self {
        self.clip = clip;
        self
    }
}

impl Loss for AsymmetricLoss {
    fn loss(&self, outputs: &Tensor, targets: &Targets) -> Result<Tensor, Error> {
        /// Probabilities below this count as this, so that their logarithm is finite.
        const LEAST: f64 = 1e-8;
        check_exponent("the negative gamma of the asymmetric loss", self.gamma_negative)?;
        check_exponent("the positive gamma of the asymmetric loss", self.gamma_positive)?;
        if !(0.0..1.0).contains(&self.clip) {
            let expected = "0 or more, less than 1";
            return Err(Error::option(
                "the clip of the asymmetric loss",
                expected,
                &self.clip,
            ));
        }
        let (logits, labels) = values(outputs, targets)?;
        let others = one_minus(&labels)?;
        let positive = logits.f_sigmoid()?;
        let negative = one_minus(&positive)?.f_add_scalar(self.clip)?.f_clamp_max(1.0)?;
        let log = |probabilities: &Tensor| probabilities.f_clamp_min(LEAST)?.f_log();
        let losses = labels
            .f_mul(&log(&positive)?)?
            .f_add(&others.f_mul(&log(&negative)?)?)?;
        let right = positive.f_mul(&labels)?.f_add(&negative.f_mul(&others)?)?;
        let exponents = labels
            .f_mul_scalar(self.gamma_positive)?
            .f_add(&others.f_mul_scalar(self.gamma_negative)?)?;
        let weights = one_minus(&right)?.f_pow(&exponents)?;
        Ok(losses.f_mul(&weights)?.f_mean(None)?.f_neg()?)
    }
}

fn one_minus(tensor: &Tensor) -> Result<Tensor, tch::TchError> {
    tensor.f_neg()?.f_add_scalar(1.0)
}

fn check_exponent(what: &'static str, exponent: f64) -> Result<(), Error> {
    if exponent.is_finite() && exponent >= 0.0 {
        Ok(())
    } else {
        Err(Error::option(what, "0 or more", &exponent))
    }
}
