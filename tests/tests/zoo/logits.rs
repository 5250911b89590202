//! A converted file gives each package's own logits.

use std::path::Path;

use effnet_core::Variant;
use effnet_tests::{ask, skip};
use serde_json::json;

use super::home::Home;
use super::{logits, relative_difference, succeeded, text};

/// `max |difference| / max |expected|` between two implementations in f32.
const TOLERANCE: f64 = 2e-5;

/// Scheme, network of `network_models.py`, and the arithmetic of that network up to B4.
const PACKAGES: [(&str, &str, &str); 4] = [
    ("lukemelas", "lukemelas", "tf"),
    ("torchvision", "torchvision", "timm"),
    ("timm", "timm", "timm"),
    ("timm", "timm-tf", "tf"),
];

fn agrees_with_each_package(test: &str, variant: Variant, size: u32) {
    let home = Home::new();
    let (published, image) = (home.join("published.pth"), home.join("image.png"));
    let request = json!({"request": "legacy_weights", "variant": variant.name(), "path": text(&published)});
    if let Err(reason) = ask(&request) {
        return skip(test, &reason);
    }
    ask(&json!({"request": "random_image", "path": text(&image), "size": size})).unwrap();
    for (index, (scheme, package, profile)) in PACKAGES.into_iter().enumerate() {
        // Both containers take their turn.
        let extension = ["safetensors", "pth"][index % 2];
        let converted = home.join(&format!("{package}.{extension}"));
        succeeded(&home.run(&["convert", text(&published), text(&converted), "--to", scheme]));
        let ours = logits(&classified(&home, &image, &converted, profile));
        let request = json!({
            "request": "image_logits", "package": package, "variant": variant.name(),
            "path": text(&converted), "image": text(&image),
        });
        let answer = ask(&request).unwrap();
        let theirs: Vec<f64> = serde_json::from_value(answer["logits"].clone()).unwrap();
        let difference = relative_difference(&ours, &theirs);
        assert!(difference <= TOLERANCE, "{variant} {package}: {difference:.1e}");
    }
}

fn classified(home: &Home, image: &Path, weights: &Path, profile: &str) -> effnet_tests::Finished {
    home.run(&[
        "classify",
        text(image),
        "--weights",
        text(weights),
        "--profile",
        profile,
        "--crop-pct",
        "1",
        "--top-k",
        "0",
        "--format",
        "json",
    ])
}

#[test]
fn converted_b0_gives_each_packages_own_logits() {
    agrees_with_each_package("converted_b0_gives_each_packages_own_logits", Variant::B0, 224);
}

#[test]
fn converted_b3_gives_each_packages_own_logits() {
    agrees_with_each_package("converted_b3_gives_each_packages_own_logits", Variant::B3, 300);
}
