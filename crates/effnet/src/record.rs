//! The results of an image as JSON, the same from the commands and from `effnet serve`.
//!
//! Programs read these records, so their fields are a promise; `docs/src/output.md` describes them.

use effnet_image::Region;
use serde::Serialize;

use crate::failure::{Failure, FailureKind};
use crate::{Estimate, Prediction};

/// The version of the records. It changes if a field is removed or changes its meaning, but not if a field is added.
pub const SCHEMA: u32 = 1;

/// The result of classifying one image, or the reason why an image has no result.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Record<'a> {
    /// The image was classified.
    Classified {
        /// [`SCHEMA`].
        schema: u32,
        /// The name of the image.
        input: &'a str,
        /// The variant of the network.
        model: &'a str,
        /// The id or path of its weights.
        weights: &'a str,
        /// The classes, most likely first.
        predictions: &'a [Prediction],
    },
    /// The network predicted numbers for the image.
    Estimated {
        /// [`SCHEMA`].
        schema: u32,
        /// The name of the image.
        input: &'a str,
        /// The variant of the network.
        model: &'a str,
        /// The id or path of its weights.
        weights: &'a str,
        /// The numbers, in the order of the outputs.
        values: &'a [Estimate],
    },
    /// The image has no result.
    Failed {
        /// [`SCHEMA`].
        schema: u32,
        /// The name of the image.
        input: &'a str,
        /// The kind of failure.
        kind: FailureKind,
        /// The reason.
        error: &'a str,
    },
}

impl<'a> Record<'a> {
    /// Creates the record of an image with the predictions of this variant with these weights.
    pub fn classified(
        input: &'a str,
        (model, weights): (&'a str, &'a str),
        predictions: &'a [Prediction],
    ) -> Self {
        Self::Classified {
            schema: SCHEMA,
            input,
            model,
            weights,
            predictions,
        }
    }

    /// Creates the record of an image with the numbers that this variant with these weights predicts.
    pub fn estimated(input: &'a str, (model, weights): (&'a str, &'a str), values: &'a [Estimate]) -> Self {
        Self::Estimated {
            schema: SCHEMA,
            input,
            model,
            weights,
            values,
        }
    }

    /// Creates the record of an image that has no result, with the reason.
    pub fn failed(input: &'a str, failure: &'a Failure) -> Self {
        Self::Failed {
            schema: SCHEMA,
            input,
            kind: failure.kind,
            error: &failure.reason,
        }
    }
}

/// The features of one image.
#[derive(Debug, Clone, Serialize)]
pub struct FeaturesRecord<'a> {
    schema: u32,
    input: &'a str,
    model: &'a str,
    weights: &'a str,
    features: &'a [f32],
}

impl<'a> FeaturesRecord<'a> {
    /// Creates the record of an image with the features of this variant with these weights.
    pub fn new(input: &'a str, (model, weights): (&'a str, &'a str), features: &'a [f32]) -> Self {
        Self {
            schema: SCHEMA,
            input,
            model,
            weights,
            features,
        }
    }
}

/// The explanation of the classes of one image.
#[derive(Debug, Clone, Serialize)]
pub struct ExplainedRecord<'a> {
    schema: u32,
    input: &'a str,
    model: &'a str,
    weights: &'a str,
    method: &'a str,
    image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<String>,
    region: Area,
    predictions: &'a [Prediction],
}

impl<'a> ExplainedRecord<'a> {
    /// Creates the record of an image that `method` explained: its predictions, the part of it that the maps cover, and
    /// where its overlay is (a path or an address).
    pub fn new(
        input: &'a str,
        (model, weights): (&'a str, &'a str),
        (method, region): (&'a str, Region),
        overlay: String,
        predictions: &'a [Prediction],
    ) -> Self {
        Self {
            schema: SCHEMA,
            input,
            model,
            weights,
            method,
            image: overlay,
            raw: None,
            region: region.into(),
            predictions,
        }
    }

    /// Adds the path of the maps as they were computed.
    #[must_use]
    pub fn with_raw(mut self, path: impl Into<Option<String>>) -> Self {
        self.raw = path.into();
        self
    }
}

/// The part of an image that maps cover, in pixels after EXIF orientation, to a thousandth of a pixel.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Area {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl From<Region> for Area {
    fn from(region: Region) -> Self {
        let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
        Self {
            left: rounded(region.left),
            top: rounded(region.top),
            width: rounded(region.width),
            height: rounded(region.height),
        }
    }
}
