//! One step of training against the reference packages.

use effnet_core::{Config, EfficientNet, Family, Profile, Variant};
use effnet_tests::{relative_error, tensors};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Kind, Tensor};

use crate::{fixture, load, state_dict};

fn same_step(test: &str, config: &Config, request: Value) {
    same_step_within(test, config, request, GRADIENT);
}

fn same_step_within(test: &str, config: &Config, request: Value, gradient: f64) {
    same_step_as(test, config, request, (Kind::Float, gradient));
}

fn same_step_as(test: &str, config: &Config, request: Value, precision: (Kind, f64)) {
    let Some(folder) = fixture(test, request) else {
        return;
    };
    let config = Config {
        dropout_rate: 0.0,
        drop_connect_rate: 0.0,
        ..config.clone()
    };
    let worst = compare(folder.path(), &config, precision);
    println!("{test}: {worst:?}");
}

/// The largest relative error of each kind, all of them within bounds.
#[derive(Debug, Default)]
#[allow(dead_code)]
struct Worst {
    logits: f64,
    loss: f64,
    gradient: (f64, String),
    statistic: (f64, String),
}

/// How far the gradient of a tensor may be from the reference's, over its largest element.
const GRADIENT: f64 = 1e-4;

/// The same for a network so deep that the reference's own gradients in 32 bits are 1.2e-4 from those it has in
/// 64 bits, which are what is compared with.
const GRADIENT_OF_B5: f64 = 1.5e-4;

fn compare(folder: &Path, config: &Config, (kind, bound): (Kind, f64)) -> Worst {
    let mut expected = tensors(&folder.join("expected.safetensors"));
    let mut take = |name: &str| {
        expected
            .remove(name)
            .unwrap_or_else(|| panic!("{name} is missing"))
    };
    let (mut store, network) = load(config, &state_dict(&folder.join("zip.pth")));
    if kind == Kind::Double {
        store.double();
    }
    let images = take("images").to_kind(kind);
    let logits = network.forward(&images, true).expect("run the network");
    let loss = logits.cross_entropy_for_logits(&take("labels"));
    loss.backward();

    let mut worst = Worst {
        logits: relative_error(&logits.detach(), &take("logits")),
        loss: relative_error(&loss.detach(), &take("loss")),
        ..Worst::default()
    };
    let scales: BTreeMap<String, f64> = trainable(&network)
        .map(|(name, tensor)| (name.to_owned(), largest(&tensor.grad())))
        .collect();
    assert!(worst.logits <= 1e-4, "{worst:?}");
    assert!(worst.loss <= 1e-5, "{worst:?}");
    for (name, tensor) in network.named_tensors() {
        if tensor.requires_grad() {
            let theirs = take(&format!("gradient.{name}"));
            let error = match name.strip_suffix("_bn2.bias") {
                // Whatever a block adds to all pixels of a channel, the next batch normalisation
                // takes away: this gradient is zero but for rounding, which its neighbour scales.
                Some(block) => largest(&(tensor.grad() - theirs)) / scales[&format!("{block}_bn2.weight")],
                None if config.family() == Family::Lite && kind == Kind::Float => {
                    relative_norm(&tensor.grad(), &theirs)
                }
                None => relative_error(&tensor.grad(), &theirs),
            };
            assert!(error <= bound, "gradient of {name}: {error:.1e}");
            keep_larger(&mut worst.gradient, error, name);
        } else {
            let theirs = take(&format!("after.{name}"));
            let error = relative_error(tensor, &theirs);
            let allowed = if name.ends_with("num_batches_tracked") {
                0.0
            } else {
                1e-5
            };
            assert!(error <= allowed, "{name} after the step: {error:.1e}");
            keep_larger(&mut worst.statistic, error, name);
        }
    }
    assert!(expected.is_empty(), "not compared: {:?}", expected.keys());
    worst
}

/// The norm of the difference over the norm of the expected values.
fn relative_norm(actual: &Tensor, expected: &Tensor) -> f64 {
    let norm = |tensor: &Tensor| tensor.norm().double_value(&[]);
    norm(&(actual - expected)) / norm(expected)
}

fn largest(tensor: &Tensor) -> f64 {
    tensor.abs().max().double_value(&[])
}

fn keep_larger(worst: &mut (f64, String), error: f64, name: &str) {
    if error > worst.0 {
        *worst = (error, name.to_owned());
    }
}

#[test]
fn a_step_of_b0_agrees_with_the_original() {
    let test = "a_step_of_b0_agrees_with_the_original";
    let request = json!({
        "request": "training", "model": "lukemelas-silu", "variant": "b0", "batch": 4, "size": [224, 224],
    });
    same_step(test, &Variant::B0.config(), request);
}

#[test]
fn a_step_of_b0_under_the_timm_profile_agrees_with_timm() {
    let test = "a_step_of_b0_under_the_timm_profile_agrees_with_timm";
    let request = json!({
        "request": "training", "model": "timm", "variant": "b0", "batch": 6, "size": [97, 128],
    });
    same_step(test, &Variant::B0.config().with_profile(Profile::Timm), request);
}

#[test]
fn a_step_of_b0_under_the_timm_profile_agrees_with_torchvision() {
    let test = "a_step_of_b0_under_the_timm_profile_agrees_with_torchvision";
    let request = json!({
        "request": "training", "model": "torchvision", "variant": "b0", "batch": 6, "size": [128, 97],
    });
    same_step(test, &Variant::B0.config().with_profile(Profile::Timm), request);
}

#[test]
fn a_step_of_b5_under_the_torchvision_profile_agrees_with_torchvision() {
    let test = "a_step_of_b5_under_the_torchvision_profile_agrees_with_torchvision";
    let request = json!({
        "request": "training", "model": "torchvision", "variant": "b5", "batch": 4, "size": [128, 128],
        "gradients_in_doubles": true,
    });
    let config = Variant::B5.config().with_profile(Profile::Torchvision);
    same_step_within(test, &config, request, GRADIENT_OF_B5);
}

/// A step of a network that efficientnet_pytorch does not have: the results are named as our tensors are.
fn same_step_of(test: &str, model: &str, variant: Variant, profile: Profile, precision: (Kind, f64)) {
    let config = variant.config().with_profile(profile);
    let names: Vec<String> = config.parameter_list().into_iter().map(|one| one.name).collect();
    let request = json!({
        "request": "training", "model": model, "variant": variant.name(), "batch": 4, "size": [129, 96],
        "gradients_in_doubles": true, "original_names": names,
    });
    same_step_as(test, &config, request, precision);
}

/// ReLU6 has two kinks: where a sum is next to one of them, rounding decides whether a gradient passes, and single
/// elements differ by any amount. So norms are compared in 32 bits. The package's own gradients in 32 bits are up to 3.3e-3
/// from those that it has in 64 bits by this measure, and up to 2.1e-2 by the largest element.
const GRADIENT_OF_LITE: f64 = 2e-2;

#[test]
fn a_step_of_lite0_agrees_with_the_original() {
    let test = "a_step_of_lite0_agrees_with_the_original";
    same_step_of(
        test,
        "lukemelas",
        Variant::Lite0,
        Profile::Tf,
        (Kind::Float, GRADIENT_OF_LITE),
    );
}

#[test]
fn a_step_of_lite0_in_doubles_agrees_closely() {
    let test = "a_step_of_lite0_in_doubles_agrees_closely";
    same_step_of(
        test,
        "lukemelas",
        Variant::Lite0,
        Profile::Tf,
        (Kind::Double, 1e-6),
    );
}

#[test]
fn a_step_of_v2_b0_agrees_with_timm() {
    same_step_of(
        "a_step_of_v2_b0_agrees_with_timm",
        "timm-tf",
        Variant::V2B0,
        Profile::Tf,
        (Kind::Float, GRADIENT),
    );
}

#[test]
fn a_step_of_v2_s_agrees_with_torchvision() {
    let test = "a_step_of_v2_s_agrees_with_torchvision";
    same_step_of(
        test,
        "torchvision",
        Variant::V2S,
        Profile::Torchvision,
        (Kind::Float, GRADIENT),
    );
}

#[test]
fn a_step_of_v2_rw_s_agrees_with_timm() {
    same_step_of(
        "a_step_of_v2_rw_s_agrees_with_timm",
        "timm",
        Variant::V2RwS,
        Profile::Timm,
        (Kind::Float, GRADIENT),
    );
}

#[test]
fn a_step_of_a_narrow_network_agrees_with_the_original() {
    let test = "a_step_of_a_narrow_network_agrees_with_the_original";
    let request = json!({
        "request": "training", "model": "lukemelas", "variant": "b0", "batch": 8, "size": [65, 80],
        "overrides": {"width_coefficient": 0.25, "depth_coefficient": 0.5, "num_classes": 10},
    });
    let config = Config {
        width_coefficient: 0.25,
        depth_coefficient: 0.5,
        num_classes: 10,
        ..Variant::B0.config()
    };
    same_step(test, &config, request);
}

/// The store's variables are what an optimizer moves, so a step must reach the network itself.
#[test]
fn an_optimizer_on_the_store_changes_the_networks_own_parameters() {
    use tch::nn::OptimizerConfig as _;
    let config = Config {
        width_coefficient: 0.1,
        depth_coefficient: 0.3,
        ..Variant::B0.config()
    };
    let turn = crate::seeded(31);
    let (store, network) = crate::new(&config, &turn);
    let mut optimizer = tch::nn::Sgd::default()
        .build(&store, 0.1)
        .expect("build an optimizer");
    let before: Vec<Tensor> = trainable(&network).map(|(_, tensor)| tensor.copy()).collect();
    let images = Tensor::randn([4, 3, 64, 64], (tch::Kind::Float, tch::Device::Cpu));
    let logits = network.forward(&images, true).expect("run the network");
    optimizer.backward_step(&logits.cross_entropy_for_logits(&Tensor::from_slice(&[0i64, 1, 2, 3])));
    for ((name, after), before) in trainable(&network).zip(before) {
        assert!(!after.equal(&before), "{name} did not move");
    }
}

fn trainable(network: &EfficientNet) -> impl Iterator<Item = (&str, &Tensor)> {
    network
        .named_tensors()
        .filter(|(_, tensor)| tensor.requires_grad())
}
