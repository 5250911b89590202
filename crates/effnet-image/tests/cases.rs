//! Files of kinds known from public bug reports decode to Pillow's pixels.
//!
//! They are in `cases/images` next to the shared data, with their digests in `cases/expected.json`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "test code outside of test functions"
)]

use std::path::{Path, PathBuf};

use effnet_image::{Image, ImageError};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Returns the folder of the cases, or prints why there is none.
fn folder(test: &str) -> Option<PathBuf> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let data = std::env::var_os("EFFNET_SHARED_DATA")
        .map_or_else(|| repository.join("../shared/data"), PathBuf::from);
    let folder = data.join("../cases");
    if folder.join("expected.json").exists() {
        return Some(folder);
    }
    eprintln!("skipped: {test}: no cases under {}", folder.display());
    None
}

/// Returns what is wrong with our result for an image.
fn compare(path: &Path, expected: &Value) -> Result<(), String> {
    let image = match Image::open(path) {
        Ok(image) => image,
        // What is not supported must be reported as unsupported, never as damaged.
        Err(ImageError::Unsupported { .. }) if is_unsupported(path) => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    let size = [image.width(), image.height()];
    if serde_json::json!(size) != expected["size"] {
        return Err(format!("{size:?} pixels, expected {}", expected["size"]));
    }
    let digest = format!("{:x}", Sha256::digest(image.pixels()));
    if digest == expected["rgb_sha256"].as_str().unwrap() {
        Ok(())
    } else {
        Err(format!("different pixels ({:?})", image.warnings()))
    }
}

/// Returns whether effnet reports the compression of a file as unsupported.
fn is_unsupported(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.contains("lzma")
}

#[test]
fn reported_files_decode_to_pillows_pixels() {
    let Some(folder) = folder("reported_files_decode_to_pillows_pixels") else {
        return;
    };
    let text = std::fs::read_to_string(folder.join("expected.json")).unwrap();
    let table: Value = serde_json::from_str(&text).unwrap();
    let images = table["images"].as_object().unwrap();
    assert!(!images.is_empty());
    let mut failures = Vec::new();
    for (name, expected) in images {
        if let Err(difference) = compare(&folder.join("images").join(name), expected) {
            failures.push(format!("{name}: {difference}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn damage_that_is_mended_is_warned_of() {
    let Some(folder) = folder("damage_that_is_mended_is_warned_of") else {
        return;
    };
    let damaged = [
        "base-2junk-before-dqt.jpg",
        "base-premature-end.jpg",
        "jpeg-one-extraneous-byte.jpg",
        "png-without-iend.png",
        "prog-one-bit-flipped.jpg",
        "rst-missing.jpg",
    ];
    let sound = ["jpeg-rgb-by-component-ids.jpg", "jpeg-scans-y-then-cbcr.jpg"];
    let warnings = |name: &str| {
        let path = folder.join("images").join(name);
        Image::open(path).unwrap().warnings().len()
    };
    for name in damaged {
        assert_eq!(warnings(name), 1, "{name}");
    }
    for name in sound {
        assert_eq!(warnings(name), 0, "{name}");
    }
}
