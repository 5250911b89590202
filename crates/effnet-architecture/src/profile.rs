//! Numeric profiles: the padding and batch-norm constants that weights were trained with.
//!
//! Two files with the same names and shapes may need different padding and batch-norm epsilons, and the wrong
//! values give wrong logits without an error. The code that opens a file therefore determines its profile, and the
//! network takes padding and epsilon from the profile.

use crate::named_enum::named;
use crate::{Family, Scheme, Variant};

/// Padding of convolutions. The kinds differ only for strides above 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Padding {
    /// TensorFlow's SAME padding, computed from the size of each input: the output has `ceil(size / stride)`
    /// pixels, and if the padding is odd, the extra pixel is on the right and at the bottom.
    Same,
    /// SAME padding computed once from [`Config::image_size`](crate::Config::image_size), as in the original
    /// implementation when it is passed an image size. This equals [`Padding::Same`] only at that size.
    StaticSame,
    /// Padding of `kernel / 2` on every side, as in timm and torchvision.
    Symmetric,
}

impl Padding {
    /// Returns the pixels `[[top, bottom], [left, right]]` to add around an input of `[height, width]` before a
    /// convolution with this kernel size and stride. `designed_for` is the input size from which
    /// [`Padding::StaticSame`] is computed; the other kinds ignore it.
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

/// The padding and batch-norm constants that weights were trained with.
///
/// The wrong profile gives wrong logits without an error, so it belongs to the weights and not to the
/// variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// TensorFlow's profile: SAME padding, BN epsilon 1e-3, BN momentum 0.01 (0.1 for V2). It is used by the original
    /// implementation's files and timm's `tf_*`.
    Tf,
    /// timm's profile: symmetric padding, BN epsilon 1e-5, BN momentum 0.1. It is used by files trained with timm,
    /// and by torchvision's B0-B4, which come from timm.
    Timm,
    /// torchvision's profile: symmetric padding, BN epsilon 1e-3, BN momentum 0.01 (0.1 for V2). It is used by
    /// torchvision's B5-B7 and V2.
    Torchvision,
}

impl Profile {
    /// The padding of convolutions.
    pub fn padding(self) -> Padding {
        match self {
            Self::Tf => Padding::Same,
            Self::Timm | Self::Torchvision => Padding::Symmetric,
        }
    }

    /// Epsilon, the constant that batch normalisation adds to the variance.
    pub fn batch_norm_epsilon(self) -> f64 {
        match self {
            Self::Tf | Self::Torchvision => 1e-3,
            Self::Timm => 1e-5,
        }
    }

    /// Weight of a new batch in the running statistics (PyTorch's convention): that of the code which trained the
    /// published weights. For V2, it is 0.1 in google/automl, timm and torchvision alike.
    pub fn batch_norm_momentum(self, family: Family) -> f64 {
        match (self, family) {
            (Self::Timm, _) | (_, Family::V2) => 0.1,
            (Self::Tf | Self::Torchvision, _) => 0.01,
        }
    }

    /// Returns the most likely profile when only the naming scheme and the variant are known.
    ///
    /// timm uses the same parameter names for `tf_efficientnet_*` ([`Profile::Tf`]) and for weights trained with
    /// timm itself ([`Profile::Timm`]). Of B0 to B8, only the file name or the user can tell them apart; this returns
    /// `Timm`. Of Lite and V2, all published weights come from TensorFlow except `efficientnetv2_rw_*`.
    pub fn default_for(scheme: Scheme, variant: Option<Variant>) -> Self {
        match (scheme, variant) {
            (Scheme::Lukemelas | Scheme::Transformers | Scheme::Keras, _) => Self::Tf,
            (Scheme::Timm, Some(Variant::V2RwT | Variant::V2RwS | Variant::V2RwM)) => Self::Timm,
            (Scheme::Timm, Some(variant)) if variant.family() != Family::V1 => Self::Tf,
            (Scheme::Torchvision, Some(Variant::B5 | Variant::B6 | Variant::B7)) => Self::Torchvision,
            (Scheme::Torchvision, Some(variant)) if variant.family() == Family::V2 => Self::Torchvision,
            (Scheme::Timm | Scheme::Torchvision, _) => Self::Timm,
        }
    }
}

named!(Profile, "profile", { Tf => "tf", Timm => "timm", Torchvision => "torchvision" });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_follows_its_kind_the_stride_and_the_size_of_the_input() {
        let at = |padding: Padding, kernel, stride, input| padding.sides(kernel, stride, input, [224, 224]);
        // TensorFlow: 224 pixels become 112, of which the last reads one pixel beyond the image; 225 become 113.
        assert_eq!(at(Padding::Same, 3, 2, [224, 225]), [[0, 1], [1, 1]]);
        assert_eq!(at(Padding::Same, 5, 2, [224, 225]), [[1, 2], [2, 2]]);
        // The sides of the image for which the network was made, whatever it gets.
        assert_eq!(at(Padding::StaticSame, 3, 2, [225, 97]), [[0, 1], [0, 1]]);
        assert_eq!(at(Padding::Symmetric, 5, 2, [224, 225]), [[2, 2], [2, 2]]);
        for padding in [Padding::Same, Padding::StaticSame, Padding::Symmetric] {
            assert_eq!(at(padding, 3, 1, [224, 97]), [[1, 1], [1, 1]], "{padding:?}");
            assert_eq!(at(padding, 1, 1, [1, 1]), [[0, 0], [0, 0]], "{padding:?}");
        }
        // The last row and column are not read, and nothing is added.
        assert_eq!(at(Padding::Same, 1, 2, [224, 224]), [[0, 0], [0, 0]]);
    }
}
