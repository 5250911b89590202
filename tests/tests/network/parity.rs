//! Logits, features and endpoints of all families against the packages that have them, from both containers.

use std::collections::BTreeMap;
use std::path::Path;

use effnet::{EngineOptions, Images, Model, ModelOptions};
use effnet_core::{Config, EfficientNet, Family, Padding, Pretrained, PretrainedOptions, Profile, Variant};
use effnet_tests::{relative_error, tensors};
use serde_json::json;
use tch::{Device, Tensor};

use crate::{fixture, load, state_dict};

/// `max |difference| / max |expected|` between two implementations in f32.
const TOLERANCE: f64 = 2e-5;

/// The same for features and endpoints of the original with its default swish, `x * sigmoid(x)` in
/// two roundings, where its other swish and all other packages have SiLU in one. With these weights
/// the features of the original's B7 are 7e-5 from those of its own f64, and change by 4e-5 when it is
/// told to use SiLU. A wrong arithmetic is off by 0.3 and more.
const TOLERANCE_OF_TWO_ROUNDINGS: f64 = 1e-4;

/// The same for the engine that folds batch norm and fuses layers: it adds in another order than libtorch. B7 with
/// these weights is 2.1e-5 from the reference.
const TOLERANCE_OF_FUSION: f64 = 5e-5;

/// Models of the reference, by the names in `scripts/reference/network_models.py`.
const MODELS: [&str; 4] = ["lukemelas", "timm-tf", "timm", "torchvision"];

/// The models of the reference that have this variant.
fn models(variant: Variant) -> &'static [&'static str] {
    match variant {
        Variant::Lite0 | Variant::Lite1 | Variant::Lite2 | Variant::Lite3 | Variant::Lite4 => {
            &["lukemelas", "timm-tf", "timm"]
        }
        Variant::V2B0 | Variant::V2B1 | Variant::V2B2 | Variant::V2B3 => &["timm-tf"],
        Variant::V2S | Variant::V2M | Variant::V2L => &["timm-tf", "timm", "torchvision"],
        Variant::V2Xl => &["timm-tf", "timm"],
        Variant::V2RwT | Variant::V2RwS | Variant::V2RwM => &["timm"],
        _ => &MODELS,
    }
}

fn profile(model: &str, variant: Variant) -> Profile {
    match (model, variant) {
        ("lukemelas" | "timm-tf", _) => Profile::Tf,
        ("torchvision", variant) if variant.family() == Family::V2 => Profile::Torchvision,
        ("torchvision", Variant::B5 | Variant::B6 | Variant::B7) => Profile::Torchvision,
        _ => Profile::Timm,
    }
}

/// How far one kind of output is from the reference's.
struct Distance {
    what: String,
    relative: f64,
    tolerance: f64,
}

/// What the reference computed, under `{place}.{output}`.
struct Expected {
    tensors: BTreeMap<String, Tensor>,
}

impl Expected {
    fn get(&self, place: &str, output: &str) -> &Tensor {
        &self.tensors[&format!("{place}.{output}")]
    }

    /// The errors of logits, features and endpoints.
    fn errors(&self, place: &str, network: &EfficientNet) -> Vec<Distance> {
        let endpoints = network
            .extract_endpoints(self.get(place, "images"), false)
            .expect("run the network");
        let features = &endpoints["reduction_6"];
        let logits = network.classify(features, false).expect("run the classifier");
        let is_original = self.tensors.contains_key(&format!("{place}.reduction_6"));
        let tolerance = if is_original {
            TOLERANCE_OF_TWO_ROUNDINGS
        } else {
            TOLERANCE
        };
        let error = |what: &str, actual: &Tensor, expected: &Tensor, tolerance| Distance {
            what: format!("{place} {what}"),
            relative: relative_error(actual, expected),
            tolerance,
        };
        let mut errors = vec![
            error("logits", &logits, self.get(place, "logits"), TOLERANCE),
            error("features", features, self.get(place, "features"), tolerance),
        ];
        // The original and timm's backbones have endpoints; the former's `reduction_6` are the features.
        for (swish, tolerance) in [("", tolerance), ("silu_", TOLERANCE)] {
            let theirs = endpoints.iter().filter_map(|(name, ours)| {
                Some((ours, self.tensors.get(&format!("{place}.{swish}{name}"))?))
            });
            let what = format!("{swish}endpoints");
            let worst = theirs
                .map(|(ours, theirs)| error(&what, ours, theirs, tolerance))
                .max_by(|one, other| one.relative.total_cmp(&other.relative));
            errors.extend(worst);
        }
        errors
    }

    /// The error of a whole forward pass.
    fn error_of_forward(&self, place: &str, network: &EfficientNet) -> Distance {
        let logits = network
            .forward(self.get(place, "images"), false)
            .expect("run the network");
        let relative = relative_error(&logits, self.get(place, "logits"));
        Distance {
            what: format!("{place} forward"),
            relative,
            tolerance: TOLERANCE,
        }
    }
}

fn agrees_with_all_packages(test: &str, variant: Variant) {
    for &model in models(variant) {
        let request = json!({"request": "parity", "model": model, "variant": variant.name()});
        let Some(folder) = fixture(test, request) else {
            return;
        };
        let distances = tch::no_grad(|| compare(folder.path(), model, variant));
        let shown = distances.iter().map(|d| format!("{} {:.1e}", d.what, d.relative));
        println!("{variant} {model}: {}", shown.collect::<Vec<_>>().join(", "));
        for Distance {
            what,
            relative,
            tolerance,
        } in distances
        {
            assert!(relative <= tolerance, "{variant} {model} {what}: {relative:.1e}");
        }
    }
}

/// The logits of `Model` and of `Pretrained`, which infer everything from the file and its name.
fn opened_by_name(folder: &Path, model: &str, variant: Variant, expected: &Expected) -> Vec<Distance> {
    // Tensor names do not tell timm's TensorFlow ports from its own networks; file names do.
    let name = match model {
        "timm-tf" => format!("tf_efficientnet_{variant}.pth").replace("net_v2-", "netv2_"),
        _ => "zip.pth".to_owned(),
    };
    let path = folder.join(name);
    if !path.exists() {
        std::fs::hard_link(folder.join("zip.pth"), &path).expect("link a file");
    }
    let images = expected.get("native", "images");
    let shape: [usize; 4] = std::array::from_fn(|axis| images.size()[axis] as usize);
    let pixels = Vec::<f32>::try_from(images.flatten(0, -1)).expect("read pixels");
    // Of networks whose published files are ports from TensorFlow, only a name tells timm's own training.
    let stated = (model == "timm").then_some(Profile::Timm);
    let options = ModelOptions::default()
        .with_engine(EngineOptions::default().with_threads(1))
        .with_profile(stated);
    let light = Model::open_with(&path, &options).expect("open a model");
    let rows = light.logits(Images::new(&pixels, shape).expect("make a batch"));
    let rows = rows.expect("run the model");
    let logits = Tensor::from_slice(rows.values()).view([rows.count() as i64, rows.width() as i64]);

    let options = PretrainedOptions::default()
        .with_device(Device::Cpu)
        .with_model(ModelOptions::default().with_profile(stated));
    let on_tch = Pretrained::open(&path, &options).expect("open a network");
    assert_eq!(on_tch.transform, *light.transform());
    let theirs = on_tch.network.forward(images, false).expect("run the network");
    let distance = |what: &str, logits, tolerance| Distance {
        what: what.to_owned(),
        relative: relative_error(&logits, expected.get("native", "logits")),
        tolerance,
    };
    vec![
        distance("Model", logits, TOLERANCE_OF_FUSION),
        distance("Pretrained", theirs, TOLERANCE),
    ]
}

fn compare(folder: &Path, model: &str, variant: Variant) -> Vec<Distance> {
    let expected = Expected {
        tensors: tensors(&folder.join("expected.safetensors")),
    };
    let config = variant.config().with_profile(profile(model, variant));

    let zip = state_dict(&folder.join("zip.pth"));
    let (_store, from_zip) = load(&config, &zip);
    let (_other, from_legacy) = load(&config, &state_dict(&folder.join("legacy.pth")));
    same_parameters(&from_zip, &from_legacy);

    // The packages of torchvision and of Lite's original weights have no endpoints.
    let has_endpoints =
        model.starts_with("timm") || (model == "lukemelas" && variant.family() != Family::Lite);
    for level in 1..6 {
        let name = format!("native.reduction_{level}");
        assert_eq!(expected.tensors.contains_key(&name), has_endpoints, "{name}");
    }
    let mut errors = expected.errors("native", &from_zip);
    errors.extend(expected.errors("rectangle", &from_zip));
    errors.push(expected.error_of_forward("rectangle", &from_legacy));
    errors.extend(opened_by_name(folder, model, variant, &expected));
    if model == "lukemelas" {
        let (_store, fixed) = load(
            &Config {
                padding: Padding::StaticSame,
                ..config
            },
            &zip,
        );
        errors.push(expected.error_of_forward("static", &fixed));
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
    lite0_agrees_with_both_packages: Lite0,
    lite1_agrees_with_both_packages: Lite1,
    lite2_agrees_with_both_packages: Lite2,
    lite3_agrees_with_both_packages: Lite3,
    lite4_agrees_with_both_packages: Lite4,
    v2_b0_agrees_with_timm: V2B0,
    v2_b1_agrees_with_timm: V2B1,
    v2_b2_agrees_with_timm: V2B2,
    v2_b3_agrees_with_timm: V2B3,
    v2_s_agrees_with_both_packages: V2S,
    v2_m_agrees_with_both_packages: V2M,
    v2_l_agrees_with_both_packages: V2L,
    v2_xl_agrees_with_timm: V2Xl,
    v2_rw_t_agrees_with_timm: V2RwT,
    v2_rw_s_agrees_with_timm: V2RwS,
    v2_rw_m_agrees_with_timm: V2RwM,
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
