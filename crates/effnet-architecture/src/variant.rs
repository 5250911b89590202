//! The published variants, and their coefficients for compound scaling.
//!
//! The model names on the command line, the manifest and the checks of weight files all use this list.
//! [`Variant::recognise`] infers the variant of a file, which an ordinary `.pth` does not state.

use std::fmt;
use std::str::FromStr;

use crate::named_enum::as_string;
use crate::{Baseline, Config, Error, Family, Signature};

/// A member of the EfficientNet family.
///
/// B0-B7 are the networks of the paper (Tan and Le 2019, arXiv:1905.11946, table 2); B8 comes from AdvProp (Xie et al.
/// 2020) and L2 from Noisy Student (Xie et al. 2020). Lite0-Lite4 come from tensorflow/tpu, V2 from google/automl (Tan and
/// Le 2021, arXiv:2104.00298), and `V2Rw` from timm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
#[non_exhaustive]
pub enum Variant {
    B0,
    B1,
    B2,
    B3,
    B4,
    B5,
    B6,
    B7,
    B8,
    L2,
    Lite0,
    Lite1,
    Lite2,
    Lite3,
    Lite4,
    V2B0,
    V2B1,
    V2B2,
    V2B3,
    V2S,
    V2M,
    V2L,
    V2Xl,
    V2RwT,
    V2RwS,
    V2RwM,
}

/// The coefficients of one variant.
struct Scaling {
    name: &'static str,
    baseline: Baseline,
    width: f64,
    depth: f64,
    image_size: usize,
    dropout: f64,
}

/// The coefficients from the reference implementations (`efficientnet_params` in efficientnet_pytorch,
/// `efficientnet_builder.py` and `efficientnet_lite_builder.py` in tensorflow/tpu, `effnetv2_configs.py` in
/// google/automl, timm's `efficientnet.py`), in the order of [`Variant`].
const SCALING: [Scaling; 26] = [
    scaling("b0", Baseline::B0, 1.0, 1.0, 224, 0.2),
    scaling("b1", Baseline::B0, 1.0, 1.1, 240, 0.2),
    scaling("b2", Baseline::B0, 1.1, 1.2, 260, 0.3),
    scaling("b3", Baseline::B0, 1.2, 1.4, 300, 0.3),
    scaling("b4", Baseline::B0, 1.4, 1.8, 380, 0.4),
    scaling("b5", Baseline::B0, 1.6, 2.2, 456, 0.4),
    scaling("b6", Baseline::B0, 1.8, 2.6, 528, 0.5),
    scaling("b7", Baseline::B0, 2.0, 3.1, 600, 0.5),
    scaling("b8", Baseline::B0, 2.2, 3.6, 672, 0.5),
    scaling("l2", Baseline::B0, 4.3, 5.3, 800, 0.5),
    scaling("lite0", Baseline::Lite0, 1.0, 1.0, 224, 0.2),
    scaling("lite1", Baseline::Lite0, 1.0, 1.1, 240, 0.2),
    scaling("lite2", Baseline::Lite0, 1.1, 1.2, 260, 0.3),
    scaling("lite3", Baseline::Lite0, 1.2, 1.4, 280, 0.3),
    scaling("lite4", Baseline::Lite0, 1.4, 1.8, 300, 0.3),
    scaling("v2-b0", Baseline::V2B0, 1.0, 1.0, 224, 0.2),
    scaling("v2-b1", Baseline::V2B0, 1.0, 1.1, 240, 0.2),
    scaling("v2-b2", Baseline::V2B0, 1.1, 1.2, 260, 0.3),
    scaling("v2-b3", Baseline::V2B0, 1.2, 1.4, 300, 0.3),
    scaling("v2-s", Baseline::V2S, 1.0, 1.0, 384, 0.2),
    scaling("v2-m", Baseline::V2M, 1.0, 1.0, 480, 0.3),
    scaling("v2-l", Baseline::V2L, 1.0, 1.0, 480, 0.4),
    scaling("v2-xl", Baseline::V2Xl, 1.0, 1.0, 512, 0.4),
    scaling("v2-rw-t", Baseline::V2S, 0.8, 0.9, 288, 0.2),
    scaling("v2-rw-s", Baseline::V2RwS, 1.0, 1.0, 384, 0.2),
    scaling("v2-rw-m", Baseline::V2RwM, 1.2, 1.0, 416, 0.3),
];

const fn scaling(
    name: &'static str,
    baseline: Baseline,
    width: f64,
    depth: f64,
    image_size: usize,
    dropout: f64,
) -> Scaling {
    Scaling {
        name,
        baseline,
        width,
        depth,
        image_size,
        dropout,
    }
}

impl Variant {
    /// All variants, by family and size.
    pub const ALL: [Self; 26] = [
        Self::B0,
        Self::B1,
        Self::B2,
        Self::B3,
        Self::B4,
        Self::B5,
        Self::B6,
        Self::B7,
        Self::B8,
        Self::L2,
        Self::Lite0,
        Self::Lite1,
        Self::Lite2,
        Self::Lite3,
        Self::Lite4,
        Self::V2B0,
        Self::V2B1,
        Self::V2B2,
        Self::V2B3,
        Self::V2S,
        Self::V2M,
        Self::V2L,
        Self::V2Xl,
        Self::V2RwT,
        Self::V2RwS,
        Self::V2RwM,
    ];

    fn scaling(self) -> &'static Scaling {
        &SCALING[self as usize]
    }

    /// The network that this variant is scaled from.
    pub fn baseline(self) -> Baseline {
        self.scaling().baseline
    }

    /// The family.
    pub fn family(self) -> Family {
        self.baseline().family()
    }

    /// The short name: `b0` ... `b8`, `l2`, `lite0` ... `lite4`, `v2-b0` ... `v2-b3`, `v2-s` ... `v2-xl`, `v2-rw-t` ...
    /// `v2-rw-m`.
    pub fn name(self) -> &'static str {
        self.scaling().name
    }

    /// The name in timm, without the `tf_` of ports from TensorFlow: `efficientnet_b0`, `efficientnetv2_rw_s`.
    pub fn timm_name(self) -> String {
        let name = self.name().replace('-', "_");
        match self.family() {
            Family::V2 => format!("efficientnet{name}"),
            _ => format!("efficientnet_{name}"),
        }
    }

    /// Multiplier for the number of channels.
    pub fn width_coefficient(self) -> f64 {
        self.scaling().width
    }

    /// Multiplier for the number of blocks per stage.
    pub fn depth_coefficient(self) -> f64 {
        self.scaling().depth
    }

    /// Height and width of the input that the variant was designed for, in pixels.
    pub fn image_size(self) -> usize {
        self.scaling().image_size
    }

    /// Dropout rate before the classifier, in `[0, 1)`.
    pub fn dropout_rate(self) -> f64 {
        self.scaling().dropout
    }

    /// Returns the configuration as published: 1000 classes, three input channels, the `tf` profile.
    pub fn config(self) -> Config {
        Config::new(self)
    }

    /// Infers the variant from the channels and blocks found in a checkpoint.
    ///
    /// The numbers of classes and input channels may differ from those published. Returns `None` for a network
    /// outside the families, for example one with a custom width. B0 and B1 differ only in depth, and B1 and B2 only
    /// in width, so all dimensions are compared.
    pub fn recognise(signature: &Signature) -> Option<Self> {
        Self::ALL.into_iter().find(|variant| {
            let config = variant.config();
            let stages = config.stages();
            let repeats = stages.iter().map(|stage| stage.repeats);
            let channels = stages.iter().map(|stage| stage.output_channels);
            let kinds = stages.iter().map(|stage| stage.first.kind);
            let squeeze_excite = stages.iter().any(|stage| stage.first.squeezed_channels.is_some());
            squeeze_excite == signature.squeeze_excite
                && kinds.eq(signature.stage_kinds.iter().copied())
                && config.stem_channels() == signature.stem_channels
                && config.head_channels() == signature.head_channels
                && repeats.eq(signature.repeats_per_stage.iter().copied())
                && channels.eq(signature.stage_channels.iter().copied())
        })
    }
}

as_string!(Variant);

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Variant {
    type Err = Error;

    /// Accepts `b3`, `efficientnet-b3` and `efficientnet_b3`, `v2-s`, `efficientnetv2_s` and `efficientnet_v2_s`, in any
    /// case.
    ///
    /// # Errors
    /// [`Error::UnknownVariant`], which lists the nearest names.
    fn from_str(name: &str) -> Result<Self, Error> {
        let lower = name.to_ascii_lowercase().replace('_', "-");
        let short = lower.strip_prefix("efficientnet").unwrap_or(&lower);
        let short = short.strip_prefix('-').unwrap_or(short);
        Self::ALL
            .into_iter()
            .find(|variant| variant.name() == short)
            .ok_or_else(|| Error::UnknownVariant {
                name: name.to_owned(),
                nearest: nearest(short),
            })
    }
}

/// With more names than this at a distance of one, no name is considered near.
const MAX_NEAREST: usize = 3;

/// Returns the names at an edit distance of one, in the order of [`Variant::ALL`]. Returns none if there are more
/// than three, as for `b9`, because the error lists all names anyway.
fn nearest(name: &str) -> Vec<&'static str> {
    let names = Variant::ALL.iter().map(|variant| variant.name());
    let near: Vec<_> = names
        .filter(|known| strsim::damerau_levenshtein(name, known) == 1)
        .collect();
    if near.len() > MAX_NEAREST {
        return Vec::new();
    }
    near
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_accepted_in_short_and_in_full() {
        for name in [
            "b3",
            "B3",
            "efficientnet-b3",
            "efficientnet_b3",
            "EfficientNet-B3",
        ] {
            assert_eq!(name.parse::<Variant>().unwrap(), Variant::B3, "{name}");
        }
        for name in [
            "v2-s",
            "V2_S",
            "efficientnetv2-s",
            "efficientnetv2_s",
            "efficientnet_v2_s",
        ] {
            assert_eq!(name.parse::<Variant>().unwrap(), Variant::V2S, "{name}");
        }
    }

    #[test]
    fn timms_names_are_accepted() {
        assert_eq!(Variant::V2RwS.timm_name(), "efficientnetv2_rw_s");
        assert_eq!(Variant::Lite0.timm_name(), "efficientnet_lite0");
        for variant in Variant::ALL {
            assert_eq!(variant.timm_name().parse::<Variant>().unwrap(), variant);
        }
    }

    #[test]
    fn an_unknown_name_lists_the_nearest() {
        let message = "l3".parse::<Variant>().unwrap_err().to_string();
        assert!(message.contains("l2") && message.contains("b3"), "{message}");
        assert!(!message.contains("b5"), "{message}");
    }

    #[test]
    fn where_nothing_is_near_no_name_is_suggested() {
        for name in ["b9", "resnet50", "vit"] {
            let message = name.parse::<Variant>().unwrap_err().to_string();
            assert!(!message.contains("nearest"), "{message}");
        }
    }

    #[test]
    fn the_table_stands_in_the_order_of_the_enum() {
        for variant in Variant::ALL {
            assert_eq!(variant.name().parse::<Variant>().unwrap(), variant);
        }
    }
}
