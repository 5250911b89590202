//! Determines the preprocessing for a weight file from the user's overrides, the file's metadata and the
//! manifest.
//!
//! Preprocessing that differs from that used in training gives wrong logits without an error, so the
//! transform is determined here, once, for all code that supplies images to a network.

use effnet_architecture::{CropMode, Family, Interpolation, Preprocessing, Scheme, Variant};
use effnet_hub::Manifest;
use effnet_image::{EvalTransform, ResizeMode};

use crate::metadata::wrong;
use crate::{Error, MetadataError, ModelFile, ModelMetadata};

/// The user's preprocessing settings, which override those of the weights.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct PreprocessingOverrides {
    /// Side of the square input in pixels.
    pub image_size: Option<usize>,
    /// Crop ratio: side of the centre crop as a fraction of the short side of the resized image, in `(0, 1]`.
    pub crop_pct: Option<f64>,
    /// Resize filter.
    pub interpolation: Option<Interpolation>,
    /// Mean per channel, for values in `[0, 1]`.
    pub mean: Option<[f32; 3]>,
    /// Standard deviation per channel, for values in `[0, 1]`.
    pub std: Option<[f32; 3]>,
}

impl PreprocessingOverrides {
    /// Sets [`image_size`](Self::image_size).
    #[must_use]
    pub fn with_image_size(mut self, image_size: impl Into<Option<usize>>) -> Self {
        self.image_size = image_size.into();
        self
    }

    /// Sets [`crop_pct`](Self::crop_pct).
    #[must_use]
    pub fn with_crop_pct(mut self, crop_pct: impl Into<Option<f64>>) -> Self {
        self.crop_pct = crop_pct.into();
        self
    }

    /// Sets [`interpolation`](Self::interpolation).
    #[must_use]
    pub fn with_interpolation(mut self, interpolation: impl Into<Option<Interpolation>>) -> Self {
        self.interpolation = interpolation.into();
        self
    }

    /// Sets [`mean`](Self::mean).
    #[must_use]
    pub fn with_mean(mut self, mean: impl Into<Option<[f32; 3]>>) -> Self {
        self.mean = mean.into();
        self
    }

    /// Sets [`std`](Self::std).
    #[must_use]
    pub fn with_std(mut self, std: impl Into<Option<[f32; 3]>>) -> Self {
        self.std = std.into();
        self
    }

    fn apply(&self, mut transform: EvalTransform) -> EvalTransform {
        // A short side belongs to its image size.
        if let Some(size) = self.image_size.filter(|size| *size != transform.image_size) {
            // At a different size, crop the same fraction of the image.
            if let ResizeMode::ShortSide(short_side) = transform.resize {
                let fraction = transform.image_size as f64 / short_side as f64;
                transform.resize = ResizeMode::CropPct(fraction.min(1.0));
            }
            transform.image_size = size;
        }
        if let Some(fraction) = self.crop_pct {
            transform.resize = match transform.resize {
                ResizeMode::Squash(_) => ResizeMode::Squash(fraction),
                _ => ResizeMode::CropPct(fraction),
            };
        }
        transform.interpolation = self.interpolation.unwrap_or(transform.interpolation);
        transform.mean = self.mean.unwrap_or(transform.mean);
        transform.std = self.std.unwrap_or(transform.std);
        transform
    }
}

/// Returns the transform that the weights in `file` were evaluated with, after applying `overrides`.
///
/// # Errors
/// [`Error::Preprocessing`] for invalid metadata, [`Error::Hub`] for a variant without published weights.
pub fn transform(
    overrides: &PreprocessingOverrides,
    file: &ModelFile,
    manifest: &Manifest,
) -> Result<EvalTransform, Error> {
    let mut transform = from_published(&published(file, manifest)?);
    apply_metadata(&mut transform, &file.metadata).map_err(|source| Error::Preprocessing {
        path: file.path().to_owned(),
        source,
    })?;
    Ok(overrides.apply(transform))
}

/// Returns the transform for the default weights of a variant, after applying `overrides`.
///
/// # Errors
/// [`Error::Hub`] for a variant without published weights.
pub fn transform_of_variant(
    overrides: &PreprocessingOverrides,
    variant: Variant,
    manifest: &Manifest,
) -> Result<EvalTransform, Error> {
    let published = &manifest.get(variant.name())?.preprocessing;
    Ok(overrides.apply(from_published(published)))
}

/// Returns the published preprocessing for these weights, or for the default weights of their variant and
/// naming scheme.
fn published(file: &ModelFile, manifest: &Manifest) -> Result<Preprocessing, Error> {
    if let Some(entry) = file.entry() {
        return Ok(entry.preprocessing.clone());
    }
    let tag = match (file.scheme, file.variant.family()) {
        (Scheme::Torchvision, _) => "torchvision",
        // timm's ports normalise otherwise than the package with Lite's original weights.
        (Scheme::Timm, Family::Lite | Family::V2) => "tf-in1k",
        _ => "imagenet",
    };
    let entry = manifest
        .get(&format!("{}.{tag}", file.variant))
        .or_else(|_| manifest.get(file.variant.name()))?;
    Ok(entry.preprocessing.clone())
}

fn from_published(published: &Preprocessing) -> EvalTransform {
    let fraction = published.crop_pct.unwrap_or(1.0);
    let resize = match (published.crop_mode, published.resize_size) {
        (CropMode::Squash, _) => ResizeMode::Squash(fraction),
        (CropMode::Center, Some(size)) => ResizeMode::ShortSide(size),
        (CropMode::Center, None) => ResizeMode::CropPct(fraction),
    };
    EvalTransform::new(published.image_size)
        .with_resize(resize)
        .with_interpolation(published.interpolation)
        .with_mean(published.mean.map(|value| value as f32))
        .with_std(published.std.map(|value| value as f32))
}

/// Applies the metadata of the file, which takes precedence over the published preprocessing.
fn apply_metadata(transform: &mut EvalTransform, metadata: &ModelMetadata) -> Result<(), MetadataError> {
    if let Some(size) = metadata.image_size {
        if size > 8192 {
            return Err(wrong("image_size", "at most 8192", &size.to_string()));
        }
        transform.image_size = size;
    }
    let fraction = metadata.crop_pct.unwrap_or(1.0);
    match (metadata.crop_mode, metadata.resize_size, metadata.crop_pct) {
        (Some(CropMode::Squash), ..) => transform.resize = ResizeMode::Squash(fraction),
        (_, Some(size), _) => transform.resize = ResizeMode::ShortSide(size),
        (_, None, Some(fraction)) => transform.resize = ResizeMode::CropPct(fraction),
        _ => {}
    }
    if let Some(interpolation) = metadata.interpolation {
        transform.interpolation = interpolation;
    }
    if let Some(mean) = metadata.mean {
        transform.mean = mean.map(|value| value as f32);
    }
    if let Some(std) = metadata.std {
        if !std.iter().all(|&value| value > 0.0) {
            return Err(wrong("std", "numbers above 0", &format!("{std:?}")));
        }
        transform.std = std.map(|value| value as f32);
    }
    Ok(())
}
