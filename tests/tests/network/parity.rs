//! Logits, features and endpoints of B0-B7 against three packages, from both containers.

use std::collections::BTreeMap;
use std::path::Path;

use effnet_core::{Config, EfficientNet, Padding, Profile, Variant};
use effnet_tests::{relative_error, tensors};
use serde_json::json;
use tch::Tensor;

use crate::{fixture, load, state_dict};

/// `max |difference| / max |expected|` between two implementations in f32.
const TOLERANCE: f64 = 2e-5;

/// Models of the reference, by the names in `scripts/reference/network_models.py`.
const MODELS: [&str; 4] = ["lukemelas", "timm-tf", "timm", "torchvision"];

fn profile(model: &str, variant: Variant) -> Profile {
    match (model, variant) {
        ("lukemelas" | "timm-tf", _) => Profile::Tf,
        ("torchvision", Variant::B5 | Variant::B6 | Variant::B7) => Profile::Torchvision,
        _ => Profile::Timm,
    }
}

/// What the reference computed at one size of image.
struct Expected<'t> {
    tensors: &'t BTreeMap<String, Tensor>,
    place: &'static str,
}

impl Expected<'_> {
    fn get(&self, name: &str) -> &Tensor {
        &self.tensors[&format!("{}.{name}", self.place)]
    }

    /// The largest error among logits, features and endpoints.
    fn error_of(&self, network: &EfficientNet) -> f64 {
        let images = self.get("images");
        let endpoints = network.extract_endpoints(images, false).expect("run the network");
        let features = &endpoints["reduction_6"];
        let logits = network.classify(features, false).expect("run the classifier");
        let mut errors = vec![
            relative_error(&logits, self.get("logits")),
            relative_error(features, self.get("features")),
        ];
        let prefix = format!("{}.reduction_", self.place);
        let theirs = self.tensors.iter().filter(|(name, _)| name.starts_with(&prefix));
        for (name, expected) in theirs {
            errors.push(relative_error(
                &endpoints[&name[self.place.len() + 1..]],
                expected,
            ));
        }
        errors.into_iter().fold(0.0, f64::max)
    }
}

fn agrees_with_all_packages(test: &str, variant: Variant) {
    for model in MODELS {
        let request = json!({"request": "parity", "model": model, "variant": variant.name()});
        let Some(folder) = fixture(test, request) else {
            return;
        };
        let errors = tch::no_grad(|| compare(folder.path(), model, variant));
        println!("{variant} {model:<11} {}", shown(&errors));
        for (what, error) in errors {
            assert!(error <= TOLERANCE, "{variant} {model} {what}: {error:.1e}");
        }
    }
}

fn shown(errors: &[(&str, f64)]) -> String {
    errors
        .iter()
        .map(|(what, error)| format!("{what} {error:.1e}  "))
        .collect()
}

fn compare(folder: &Path, model: &str, variant: Variant) -> Vec<(&'static str, f64)> {
    let expected = tensors(&folder.join("expected.safetensors"));
    let native = Expected {
        tensors: &expected,
        place: "native",
    };
    let rectangle = Expected {
        tensors: &expected,
        place: "rectangle",
    };
    let config = variant.config().with_profile(profile(model, variant));

    let zip = state_dict(&folder.join("zip.pth"));
    let (_store, from_zip) = load(&config, &zip);
    let (_other, from_legacy) = load(&config, &state_dict(&folder.join("legacy.pth")));
    same_parameters(&from_zip, &from_legacy);

    let images = rectangle.get("images");
    let whole = from_legacy.forward(images, false).expect("run the network");
    let features = from_legacy
        .extract_features(images, false)
        .expect("run the network");
    let mut errors = vec![
        ("native", native.error_of(&from_zip)),
        ("rectangle", rectangle.error_of(&from_zip)),
        (
            "rectangle, forward",
            relative_error(&whole, rectangle.get("logits")),
        ),
        (
            "rectangle, features",
            relative_error(&features, rectangle.get("features")),
        ),
    ];
    if model == "lukemelas" {
        let (_store, network) = load(
            &Config {
                padding: Padding::StaticSame,
                ..config
            },
            &zip,
        );
        let logits = network.forward(images, false).expect("run the network");
        errors.push((
            "rectangle, static",
            relative_error(&logits, rectangle.get("static_logits")),
        ));
    }
    errors
}

fn same_parameters(one: &EfficientNet, other: &EfficientNet) {
    for ((name, one), (_, other)) in one.named_tensors().zip(other.named_tensors()) {
        assert!(
            one.equal(other),
            "{name} differs between the zip and the legacy container"
        );
    }
}

macro_rules! parity {
    ($($test:ident: $variant:ident,)*) => {$(
        #[test]
        fn $test() {
            agrees_with_all_packages(stringify!($test), Variant::$variant);
        }
    )*};
}

parity! {
    b0_agrees_with_all_three_packages: B0,
    b1_agrees_with_all_three_packages: B1,
    b2_agrees_with_all_three_packages: B2,
    b3_agrees_with_all_three_packages: B3,
    b4_agrees_with_all_three_packages: B4,
    b5_agrees_with_all_three_packages: B5,
    b6_agrees_with_all_three_packages: B6,
    b7_agrees_with_all_three_packages: B7,
}

/// The measure of the tests above: with weights that hardly look at the image they would pass
/// whatever the arithmetic.
#[test]
fn a_wrong_padding_or_epsilon_shows_in_the_logits() {
    let test = "a_wrong_padding_or_epsilon_shows_in_the_logits";
    for model in MODELS {
        let request = json!({"request": "parity", "model": model, "variant": "b0"});
        let Some(folder) = fixture(test, request) else {
            return;
        };
        let expected = tensors(&folder.path().join("expected.safetensors"));
        let weights = state_dict(&folder.path().join("zip.pth"));
        let right = Variant::B0.config().with_profile(profile(model, Variant::B0));
        let other_padding = match right.padding {
            Padding::Symmetric => Padding::Same,
            _ => Padding::Symmetric,
        };
        let other_epsilon = if right.batch_norm_epsilon == 1e-3 {
            1e-5
        } else {
            1e-3
        };
        for wrong in [
            Config {
                padding: other_padding,
                ..right.clone()
            },
            Config {
                batch_norm_epsilon: other_epsilon,
                ..right.clone()
            },
        ] {
            let (_store, network) = load(&wrong, &weights);
            let logits = network
                .forward(&expected["native.images"], false)
                .expect("run the network");
            let error = relative_error(&logits, &expected["native.logits"]);
            let (padding, epsilon) = (wrong.padding, wrong.batch_norm_epsilon);
            println!("{model}: {error:.2} with {padding:?}, {epsilon:.0e}");
            assert!(
                error > 1e-2,
                "{model} with {padding:?} and {epsilon:.0e} differs by {error:.1e} only"
            );
        }
    }
}
