//! What a weight file expects of the arithmetic, beside its parameters.

use std::fmt;
use std::str::FromStr;

use effnet_checkpoint::Scheme;

use crate::{Error, Variant};

/// How the strided convolutions are padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Padding {
    /// TensorFlow's SAME, computed from the size of each input: the output has `ceil(size /
    /// stride)` pixels, and of an odd padding the larger half goes to the right and to the bottom.
    Same,
    /// SAME computed once from [`Config::image_size`](crate::Config::image_size), as the original
    /// implementation does when it is given an image size. Equal to [`Padding::Same`] at that size,
    /// different at others.
    StaticSame,
    /// `kernel / 2` on every side, as timm and torchvision pad.
    Symmetric,
}

/// The arithmetic that a family of published weight files was trained for.
///
/// A wrong profile gives wrong logits without any error, so it travels with the weights and not
/// with the name of the network.
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
    /// All profiles.
    pub const ALL: [Self; 3] = [Self::Tf, Self::Timm, Self::Torchvision];

    /// The name on the command line and in metadata: `tf`, `timm`, `torchvision`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tf => "tf",
            Self::Timm => "timm",
            Self::Torchvision => "torchvision",
        }
    }

    /// The padding of strided convolutions.
    pub fn padding(self) -> Padding {
        match self {
            Self::Tf => Padding::Same,
            Self::Timm | Self::Torchvision => Padding::Symmetric,
        }
    }

    /// The constant that batch normalisation adds to the variance.
    pub fn batch_norm_epsilon(self) -> f64 {
        match self {
            Self::Tf | Self::Torchvision => 1e-3,
            Self::Timm => 1e-5,
        }
    }

    /// The weight of a new batch in the running statistics (PyTorch's convention).
    pub fn batch_norm_momentum(self) -> f64 {
        match self {
            Self::Tf | Self::Torchvision => 0.01,
            Self::Timm => 0.1,
        }
    }

    /// The likely profile of a file of which only the names and the variant are known.
    ///
    /// timm uses the same names for `tf_efficientnet_*` ([`Profile::Tf`]) and for its own trainings
    /// ([`Profile::Timm`]); only the file's name or its user can tell them apart, and this answers
    /// `Timm`.
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

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Profile {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|profile| profile.name() == name)
            .ok_or_else(|| Error::UnknownProfile {
                name: name.to_owned(),
            })
    }
}
