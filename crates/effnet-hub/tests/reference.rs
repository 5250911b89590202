//! Compares the manifest with timm, torchvision, EfficientNet-PyTorch and EfficientNet-Lite-PyTorch.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr)]

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

#[test]
fn the_manifest_says_what_the_reference_packages_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = std::env::var_os("EFFNET_REFERENCE_PYTHON")
        .map_or_else(|| root.join(".venv/bin/python"), std::path::PathBuf::from);
    let usable = Command::new(&python)
        .args([
            "-c",
            "import timm, torchvision, efficientnet_pytorch, efficientnet_lite_pytorch",
        ])
        .output();
    if !usable.is_ok_and(|output| output.status.success()) {
        return skipped(&format!(
            "`{}` does not have the reference packages",
            python.display()
        ));
    }
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

fn skipped(reason: &str) {
    let line = format!("skipped: {reason}");
    eprintln!("{line}");
    if let Some(log) = std::env::var_os("EFFNET_SKIP_LOG") {
        let mut log = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(log)
            .unwrap();
        writeln!(log, "{line}").unwrap();
    }
}
