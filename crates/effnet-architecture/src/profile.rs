//! Numeric profiles: the padding and batch-norm constants that weights were trained with.
//!
//! Two files with the same names and shapes can need different padding and batch-norm epsilons, and the
//! wrong ones give wrong logits without an error. The code that opens a file therefore determines its
//! profile, and the network takes padding and epsilon from there.

use crate::named_enum::named;
use crate::{Scheme, Variant};

/// Padding of strided convolutions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Padding {
    /// TensorFlow's SAME, computed from the size of each input: the output has `ceil(size / stride)`
    /// pixels, and odd padding puts the extra pixel at the right and the bottom.
    Same,
    /// SAME computed once from [`Config::image_size`](crate::Config::image_size), as the original
    /// implementation does when it is given an image size. Equal to [`Padding::Same`] only at that size.
    StaticSame,
    /// `kernel / 2` on every side, as timm and torchvision pad.
    Symmetric,
}

impl Padding {
    /// Pixels added `[[top, bottom], [left, right]]` around an input of `[height, width]` before a
    /// convolution with this kernel size and stride. `designed_for` is the input size that
    /// [`Padding::StaticSame`] is computed from; the other kinds ignore it.
    pub fn sides(
        self,
        kernel: usize,
        stride: usize,
        input: [usize; 2],
        designed_for: [usize; 2],
    ) -> [[usize; 2]; 2] {
        let same = |size: usize| {
            let total = (size.div_ceil(stride).saturating_sub(1) * stride + kernel).saturating_sub(size);
            [total / 2, total - total / 2]
        };
        match self {
            Self::Same => input.map(same),
            Self::StaticSame => designed_for.map(same),
            Self::Symmetric => [[kernel / 2; 2]; 2],
        }
    }
}

/// Padding and batch-norm constants that weights were trained with.
///
/// The wrong profile gives wrong logits without an error, so it belongs to the weights and not to the
/// variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// TensorFlow's: SAME padding, BN epsilon 1e-3, BN momentum 0.01. The original
    /// implementation's files and timm's `tf_*`.
    Tf,
    /// Symmetric padding, BN epsilon 1e-5, BN momentum 0.1. Files trained by timm, and torchvision
    /// B0-B4, which come from there.
    Timm,
    /// Symmetric padding, BN epsilon 1e-3, BN momentum 0.01. torchvision B5-B7.
    Torchvision,
}

impl Profile {
    /// The padding of strided convolutions.
    pub fn padding(self) -> Padding {
        match self {
            Self::Tf => Padding::Same,
            Self::Timm | Self::Torchvision => Padding::Symmetric,
        }
    }

    /// Constant that batch normalisation adds to the variance.
    pub fn batch_norm_epsilon(self) -> f64 {
        match self {
            Self::Tf | Self::Torchvision => 1e-3,
            Self::Timm => 1e-5,
        }
    }

    /// Weight of a new batch in the running statistics (PyTorch's convention).
    pub fn batch_norm_momentum(self) -> f64 {
        match self {
            Self::Tf | Self::Torchvision => 0.01,
            Self::Timm => 0.1,
        }
    }

    /// The most likely profile when only the naming scheme and the variant are known.
    ///
    /// timm uses the same parameter names for `tf_efficientnet_*` ([`Profile::Tf`]) and for the weights that
    /// it trained itself ([`Profile::Timm`]). Only the file name or the user can tell them apart; this
    /// returns `Timm`.
    pub fn default_for(scheme: Scheme, variant: Option<Variant>) -> Self {
        match scheme {
            Scheme::Lukemelas => Self::Tf,
            Scheme::Timm => Self::Timm,
            Scheme::Torchvision => match variant {
                Some(Variant::B5 | Variant::B6 | Variant::B7) => Self::Torchvision,
                _ => Self::Timm,
            },
        }
    }
}

named!(Profile, "profile", { Tf => "tf", Timm => "timm", Torchvision => "torchvision" });
