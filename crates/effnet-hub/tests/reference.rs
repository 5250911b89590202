//! Compares the manifest with timm, torchvision, EfficientNet-PyTorch and EfficientNet-Lite-PyTorch.

#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use test_support::{interpreter_with, skip};

#[test]
fn the_manifest_says_what_the_reference_packages_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let packages = "timm, torchvision, efficientnet_pytorch, efficientnet_lite_pytorch";
    let python = match interpreter_with(packages) {
        Ok(python) => python,
        Err(reason) => return skip("the_manifest_says_what_the_reference_packages_say", &reason),
    };
    let output = Command::new(python)
        .arg(root.join("scripts/reference/manifest_check.py"))
        .arg(root.join("weights/manifest.json"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    assert!(text.starts_with("111 entries and "), "{text}");
}
