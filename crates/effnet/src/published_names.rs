//! Finds published weights by their names in other libraries.
//!
//! Users of timm or torchvision know weights by that library's names: `tf_efficientnet_b3.ns_jft_in1k`,
//! `EfficientNet_B0_Weights.IMAGENET1K_V1`.

use effnet_architecture::Variant;
use effnet_hub::{Entry, Manifest};

/// Prefixes of timm's and torchvision's names, as passed to their functions.
const ORIGINS: [&str; 6] = [
    "hf_hub:",
    "hf-hub:",
    "timm/",
    "torchvision.models.",
    "torchvision/",
    "timm:",
];

/// Finds the weights with this name in timm or torchvision. `variant` completes a name that does not include
/// one, such as `IMAGENET1K_V1`.
pub(crate) fn find<'a>(manifest: &'a Manifest, name: &str, variant: Option<Variant>) -> Option<&'a Entry> {
    let mut name = name;
    while let Some(rest) = ORIGINS.iter().find_map(|origin| name.strip_prefix(origin)) {
        name = rest;
    }
    let lower = name.to_ascii_lowercase();
    by_file(manifest, &lower)
        .or_else(|| of_torchvision(manifest, &lower, variant))
        .or_else(|| {
            let variant = variant?;
            manifest.get(&format!("{variant}.timm-{lower}")).ok()
        })
}

/// Finds weights by timm's name, which is also that of the file: `efficientnet_b0.ra_in1k`, and in older
/// versions `efficientnet_b0_ra`, followed by a digest.
fn by_file<'a>(manifest: &'a Manifest, name: &str) -> Option<&'a Entry> {
    manifest.entries().iter().find(|entry| {
        entry.files.iter().any(|file| {
            let stem = file.name.as_str().rsplit_once('.').map_or("", |(stem, _)| stem);
            let without_digest = stem.rsplit_once('-').map_or(stem, |(name, _)| name);
            // A bare `tf_efficientnet_b0` would match the oldest of several.
            stem.eq_ignore_ascii_case(name)
                || without_digest.eq_ignore_ascii_case(name)
                    && variant_in(name).is_none_or(|(_, rest)| !rest.is_empty())
        })
    })
}

/// Finds weights by torchvision's name: `EfficientNet_B1_Weights.IMAGENET1K_V2`, `IMAGENET1K_V1`, `DEFAULT`.
fn of_torchvision<'a>(manifest: &'a Manifest, name: &str, variant: Option<Variant>) -> Option<&'a Entry> {
    let (class, tag) = match name.rsplit_once('.') {
        Some((class, tag)) => (Some(class.strip_suffix("_weights").unwrap_or(class)), tag),
        None => (None, name),
    };
    let variant = match class {
        Some(class) => class.parse().ok(),
        None => variant,
    }?;
    let get = |version: &str| manifest.get(&format!("{variant}.torchvision{version}")).ok();
    match tag {
        "imagenet1k_v1" => get(""),
        "imagenet1k_v2" => get("-v2"),
        "default" => get("-v2").or_else(|| get("")),
        _ => None,
    }
}

/// Returns the variant that a name mentions, and the text after it: `b3` and `_ns` for
/// `tf_efficientnet_b3_ns`.
pub(crate) fn variant_in(name: &str) -> Option<(Variant, String)> {
    let lower = name.to_ascii_lowercase();
    let (_, rest) = lower.split_once("efficientnet")?;
    let rest = rest.trim_start_matches(['_', '-']);
    // `efficientnetv2_s`, `efficientnet_v2_s` and `efficientnetv2-s` are `v2-s`.
    let dashes = rest.replace('_', "-");
    let variant = Variant::ALL
        .into_iter()
        .find(|variant| dashes.starts_with(variant.name()))?;
    Some((variant, rest.get(variant.name().len()..)?.to_owned()))
}
