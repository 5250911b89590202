//! From one package to the next and back, bit by bit.

use std::path::{Path, PathBuf};

use effnet_checkpoint::{Checkpoint, Container};
use effnet_core::Variant;
use effnet_tests::{ask, skip};
use serde_json::json;

use super::home::Home;
use super::{succeeded, text};

/// The way there and back: the scheme of `--to`, and the networks of `network_models.py` that take it. timm has
/// two with the same names, one with the arithmetic of TensorFlow.
const WAY: [(&str, &[&str]); 3] = [
    ("torchvision", &["torchvision"]),
    ("timm", &["timm", "timm-tf"]),
    ("lukemelas", &["lukemelas"]),
];

/// The way of networks that not every package has.
const WAY_OF_LITE: [(&str, &[&str]); 2] = [("timm", &["timm", "timm-tf"]), ("lukemelas", &["lukemelas"])];
const WAY_OF_V2: [(&str, &[&str]); 3] = [
    ("torchvision", &["torchvision"]),
    ("lukemelas", &[]),
    ("timm", &["timm", "timm-tf"]),
];

fn comes_back_bit_for_bit(test: &str, variant: Variant) {
    comes_back_by(test, variant, &WAY);
}

fn comes_back_by(test: &str, variant: Variant, way: &[(&str, &[&str])]) {
    let home = Home::new();
    let original = home.join("published.pth");
    let request = json!({"request": "legacy_weights", "variant": variant.name(), "path": text(&original)});
    if let Err(reason) = ask(&request) {
        return skip(test, &reason);
    }
    for (extension, container) in [("pth", Container::Zip), ("safetensors", Container::Safetensors)] {
        let mut last: Option<PathBuf> = None;
        for &(scheme, packages) in way {
            let next = home.join(&format!("{scheme}.{extension}"));
            let input = last.as_deref().unwrap_or(&original);
            succeeded(&home.run(&["convert", text(input), text(&next), "--to", scheme]));
            for package in packages {
                loads_strictly_and_unchanged(package, variant, &next);
            }
            // B7's files are 266 MB each.
            if let Some(last) = last.replace(next) {
                std::fs::remove_file(last).unwrap();
            }
        }
        let last = last.unwrap();
        let back = Checkpoint::open(&last).unwrap();
        assert_eq!(back.container(), container);
        same_tensors(&back, &Checkpoint::open(&original).unwrap());
        std::fs::remove_file(last).unwrap();
    }
}

fn loads_strictly_and_unchanged(package: &str, variant: Variant, path: &Path) {
    let request = json!({
        "request": "strict_load", "package": package, "variant": variant.name(), "path": text(path),
    });
    let answer = ask(&request).unwrap();
    assert_eq!(answer["changed"], json!([]), "{variant} in {package}");
}

fn same_tensors(one: &Checkpoint, other: &Checkpoint) {
    let (one, other) = (one.state_dict(), other.state_dict());
    assert_eq!(one.len(), other.len());
    for (name, expected) in other {
        let found = one.get(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(found.dtype(), expected.dtype(), "{name}");
        assert_eq!(found.shape(), expected.shape(), "{name}");
        // Not assert_eq: it would print a million bytes.
        assert!(
            found.bytes().unwrap() == expected.bytes().unwrap(),
            "{name} differs"
        );
    }
}

macro_rules! round_trips {
    ($($test:ident: $variant:ident,)*) => {$(
        #[test]
        fn $test() {
            comes_back_bit_for_bit(stringify!($test), Variant::$variant);
        }
    )*};
}

round_trips! {
    b0_comes_back_bit_for_bit_from_every_package: B0,
    b1_comes_back_bit_for_bit_from_every_package: B1,
    b2_comes_back_bit_for_bit_from_every_package: B2,
    b3_comes_back_bit_for_bit_from_every_package: B3,
    b4_comes_back_bit_for_bit_from_every_package: B4,
    b5_comes_back_bit_for_bit_from_every_package: B5,
    b6_comes_back_bit_for_bit_from_every_package: B6,
    b7_comes_back_bit_for_bit_from_every_package: B7,
}

#[test]
fn lite0_comes_back_bit_for_bit_from_every_package() {
    let test = "lite0_comes_back_bit_for_bit_from_every_package";
    comes_back_by(test, Variant::Lite0, &WAY_OF_LITE);
}

#[test]
fn v2_s_comes_back_bit_for_bit_from_every_package() {
    comes_back_by(
        "v2_s_comes_back_bit_for_bit_from_every_package",
        Variant::V2S,
        &WAY_OF_V2,
    );
}

#[test]
fn a_pth_keeps_the_order_of_the_package_it_is_for() {
    let test = "a_pth_keeps_the_order_of_the_package_it_is_for";
    let home = Home::new();
    let original = home.join("published.pth");
    let request = json!({"request": "legacy_weights", "variant": "b0", "path": text(&original)});
    if let Err(reason) = ask(&request) {
        return skip(test, &reason);
    }
    let back = home.join("back.pth");
    succeeded(&home.run(&["convert", text(&original), text(&back)]));
    let names = |path: &Path| -> Vec<String> {
        let checkpoint = Checkpoint::open(path).unwrap();
        checkpoint.state_dict().names().map(str::to_owned).collect()
    };
    assert_eq!(names(&back), names(&original));
}
