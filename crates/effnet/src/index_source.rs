//! Describes a network for a [`FeatureIndex`](crate::FeatureIndex).
//!
//! Features of different networks have the same number of values and look alike, and their cosines mean nothing. An
//! index therefore states everything that its rows depend on, in words that an error can quote.

use effnet_architecture::{Profile, Variant};
use effnet_image::{EvalTransform, ResizeMode};
use effnet_search::IndexSource;

use crate::{Error, ModelFile, Weights};

/// The network that an index is made with.
#[derive(Debug)]
pub(crate) struct IndexedNetwork {
    pub(crate) weights: Weights,
    /// Which network in the file, if it holds several.
    pub(crate) place: String,
    pub(crate) variant: Variant,
    pub(crate) profile: Profile,
}

impl IndexedNetwork {
    pub(crate) fn of(file: &ModelFile) -> Self {
        let checkpoint = file.checkpoint();
        let wrapper = checkpoint.wrapper().unwrap_or_default();
        Self {
            weights: file.weights().clone(),
            place: format!("{wrapper} {}", checkpoint.prefix()).trim().to_owned(),
            variant: file.variant,
            profile: file.profile,
        }
    }

    /// States what features of this network depend on.
    pub(crate) fn source(&self, transform: &EvalTransform) -> Result<IndexSource, Error> {
        Ok(IndexSource::default()
            .with_model(self.variant.name())
            .with_weights(&self.weights.name, self.weights.sha256()?)
            .with_network(&self.place)
            .with_profile(self.profile.to_string())
            .with_preprocessing(describe(transform)))
    }
}

impl ModelFile {
    /// Returns what features of this network depend on, as [`Model::index_source`](crate::Model::index_source) does,
    /// without loading the network.
    ///
    /// # Errors
    /// [`Error::Unreadable`] if the weight file cannot be read for its digest.
    pub fn index_source(&self, transform: &EvalTransform) -> Result<IndexSource, Error> {
        IndexedNetwork::of(self).source(transform)
    }
}

/// Describes a transform: `224 x 224, bicubic, crop ratio 0.875, mean 0.485,0.456,0.406, std 0.229,0.224,0.225`.
fn describe(transform: &EvalTransform) -> String {
    let side = transform.image_size;
    let resize = match transform.resize {
        ResizeMode::CropPct(fraction) => format!("crop ratio {fraction}"),
        ResizeMode::Squash(fraction) => format!("squashed, crop ratio {fraction}"),
        ResizeMode::ShortSide(length) => format!("short side {length}"),
    };
    let [mean, std] = [transform.mean, transform.std].map(|[r, g, b]| format!("{r},{g},{b}"));
    let interpolation = transform.interpolation;
    format!("{side} x {side}, {interpolation}, {resize}, mean {mean}, std {std}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transform_is_described_in_words() {
        let transform = EvalTransform::new(224).with_crop_pct(0.875);
        assert_eq!(
            describe(&transform),
            "224 x 224, bicubic, crop ratio 0.875, mean 0.485,0.456,0.406, std 0.229,0.224,0.225"
        );
    }
}
