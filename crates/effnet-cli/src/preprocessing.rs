//! From arguments, the weight file and the manifest to the transform of images.

use anyhow::{Context, ensure};
use effnet_checkpoint::Scheme;
use effnet_core::Variant;
use effnet_hub::{CropMode, Manifest, Preprocessing};
use effnet_image::{EvalTransform, Interpolation, ResizeMode};

use crate::arguments::PreprocessingArguments;
use crate::model::ModelFile;

/// The transform that the weights were evaluated with, with what the arguments override.
pub(crate) fn transform(
    arguments: &PreprocessingArguments,
    file: &ModelFile,
    manifest: &Manifest,
) -> anyhow::Result<EvalTransform> {
    let mut transform = from_manifest(&published(file, manifest)?)?;
    apply_metadata(&mut transform, file)
        .with_context(|| format!("{}: unusable metadata", file.path().display()))?;
    Ok(overridden(transform, arguments))
}

/// The transform of the best-known weights of a variant, with what the arguments override.
pub(crate) fn of_variant(
    arguments: &PreprocessingArguments,
    variant: Variant,
    manifest: &Manifest,
) -> anyhow::Result<EvalTransform> {
    let published = &manifest.get(variant.name())?.preprocessing;
    Ok(overridden(from_manifest(published)?, arguments))
}

fn overridden(mut transform: EvalTransform, arguments: &PreprocessingArguments) -> EvalTransform {
    let crop_pct = |resize, size: usize| match resize {
        ResizeMode::ShortSide(short_side) => size as f64 / short_side as f64,
        ResizeMode::CropPct(fraction) | ResizeMode::Squash(fraction) => fraction,
    };
    if let Some(size) = arguments.image_size {
        // At another size the crop keeps the same fraction of the image.
        if let ResizeMode::ShortSide(_) = transform.resize {
            let fraction = crop_pct(transform.resize, transform.image_size).min(1.0);
            transform.resize = ResizeMode::CropPct(fraction);
        }
        transform.image_size = size as usize;
    }
    if let Some(fraction) = arguments.crop_pct {
        transform.resize = match transform.resize {
            ResizeMode::Squash(_) => ResizeMode::Squash(fraction),
            _ => ResizeMode::CropPct(fraction),
        };
    }
    transform.interpolation = arguments.interpolation.unwrap_or(transform.interpolation);
    transform.mean = arguments.mean.unwrap_or(transform.mean);
    transform.std = arguments.std.unwrap_or(transform.std);
    transform
}

/// What is published for these weights, or for the best-known ones with their variant and names.
pub(crate) fn published(file: &ModelFile, manifest: &Manifest) -> anyhow::Result<Preprocessing> {
    if let Some(entry) = file.entry() {
        return Ok(entry.preprocessing.clone());
    }
    let of_scheme = match file.scheme {
        Scheme::Torchvision => manifest.get(&format!("{}.torchvision", file.variant)),
        Scheme::Lukemelas | Scheme::Timm => manifest.get(&format!("{}.imagenet", file.variant)),
    };
    let entry = of_scheme.or_else(|_| manifest.get(file.variant.name()))?;
    Ok(entry.preprocessing.clone())
}

fn from_manifest(published: &Preprocessing) -> anyhow::Result<EvalTransform> {
    let fraction = published.crop_pct.unwrap_or(1.0);
    let resize = match (published.crop_mode, published.resize_size) {
        (CropMode::Squash, _) => ResizeMode::Squash(fraction),
        (CropMode::Center, Some(size)) => ResizeMode::ShortSide(size as usize),
        (CropMode::Center, None) => ResizeMode::CropPct(fraction),
    };
    Ok(EvalTransform {
        image_size: published.image_size as usize,
        resize,
        interpolation: interpolation(published.interpolation.as_str())?,
        mean: published.mean.map(|value| value as f32),
        std: published.std.map(|value| value as f32),
    })
}

/// What the file states of itself counts more than what is published for its kind.
fn apply_metadata(transform: &mut EvalTransform, file: &ModelFile) -> anyhow::Result<()> {
    let metadata = &file.metadata;
    if let Some(size) = metadata.image_size {
        ensure!(size <= 8192, "image_size is {size}, expected at most 8192");
        transform.image_size = size;
    }
    let fraction = metadata.crop_pct.unwrap_or(1.0);
    match (
        metadata.crop_mode.as_deref(),
        metadata.resize_size,
        metadata.crop_pct,
    ) {
        (Some("squash"), ..) => transform.resize = ResizeMode::Squash(fraction),
        (_, Some(size), _) => transform.resize = ResizeMode::ShortSide(size),
        (_, None, Some(fraction)) => transform.resize = ResizeMode::CropPct(fraction),
        _ => {}
    }
    if let Some(name) = &metadata.interpolation {
        transform.interpolation = interpolation(name)?;
    }
    if let Some(mean) = metadata.mean {
        transform.mean = mean.map(|value| value as f32);
    }
    if let Some(std) = metadata.std {
        ensure!(
            std.iter().all(|&value| value > 0.0),
            "std is {std:?}, expected numbers above 0"
        );
        transform.std = std.map(|value| value as f32);
    }
    Ok(())
}

/// The filter of this name.
pub(crate) fn interpolation(name: &str) -> anyhow::Result<Interpolation> {
    match name {
        "bilinear" => Ok(Interpolation::Bilinear),
        "bicubic" => Ok(Interpolation::Bicubic),
        _ => anyhow::bail!("interpolation is `{name}`, expected bilinear or bicubic"),
    }
}
