//! Mixup and cutmix, with fixed numbers and with drawn ones.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

use effnet_image::Rectangle;
use effnet_train::data::{Mixing, Mixup};
use serde_json::Value;
use tch::{Kind, Tensor};

/// What timm made of it; see `scripts/reference/data_mix.py`.
fn fixture() -> Value {
    serde_json::from_str(include_str!("fixtures/mix.json")).unwrap()
}

fn number(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

fn numbers(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn floats(value: &Value) -> Vec<f32> {
    let values = value.as_array().unwrap().iter();
    values.map(|value| value.as_f64().unwrap() as f32).collect()
}

/// One whose batches are always mixed.
fn mixup(mixup_alpha: f64, cutmix_alpha: f64) -> Mixup {
    Mixup::new(mixup_alpha, 3).with_cutmix_alpha(cutmix_alpha)
}

#[test]
fn the_rectangles_of_cutmix_are_timms() {
    for case in fixture()["areas"].as_array().unwrap() {
        let (height, width) = (number(&case["height"]), number(&case["width"]));
        let center = numbers(&case["center"]);
        let expected = numbers(&case["area"]);
        let mixing = Mixing::cutmix(
            case["lambda"].as_f64().unwrap(),
            (center[0], center[1]),
            height,
            width,
        );
        let area = Rectangle {
            left: expected[0],
            top: expected[1],
            width: expected[2],
            height: expected[3],
        };
        assert_eq!(mixing, Mixing::Cutmix { area }, "{case}");
    }
}

#[test]
fn mixed_batches_and_their_targets_equal_timms() {
    let fixture = fixture();
    let (height, width) = (number(&fixture["height"]), number(&fixture["width"]));
    for case in fixture["batches"].as_array().unwrap() {
        let lambda = case["lambda"].as_f64().unwrap();
        let mixing = match case["kind"].as_str().unwrap() {
            "mixup" => Mixing::Mixup { lambda },
            "cutmix" => {
                let center = numbers(&case["center"]);
                Mixing::cutmix(lambda, (center[0], center[1]), height, width)
            }
            _ => Mixing::Nothing,
        };
        let mixup = Mixup::new(1.0, number(&fixture["classes"]))
            .with_label_smoothing(case["smoothing"].as_f64().unwrap());
        let labels: Vec<i64> = numbers(&case["labels"])
            .into_iter()
            .map(|label| label as i64)
            .collect();
        let images = Tensor::from_slice(&floats(&case["images"]));
        let images = images.view([labels.len() as i64, 3, height as i64, width as i64]);
        let (mixed, targets) = mixup.apply(mixing, images, &Tensor::from_slice(&labels)).unwrap();
        assert_eq!(targets.size(), [labels.len() as i64, 3]);
        let difference = |found: &Tensor, expected: &Value| {
            let expected = Tensor::from_slice(&floats(expected));
            (found.flatten(0, -1) - expected).abs().max().double_value(&[])
        };
        assert!(difference(&mixed, &case["mixed"]) <= 1e-6, "{case}");
        assert!(difference(&targets, &case["targets"]) <= 1e-6, "{case}");
    }
}

#[test]
fn lambda_has_the_beta_distribution() {
    for alpha in [0.2, 1.0, 4.0] {
        let mixup = mixup(alpha, 0.0);
        let lambda = |batch| match mixup.sample(8, 8, &mut Mixup::rng(1, 0, batch)).unwrap() {
            Mixing::Mixup { lambda } => lambda,
            other => panic!("{other:?}"),
        };
        let lambdas: Vec<f64> = (0..20_000).map(lambda).collect();
        let mean = lambdas.iter().sum::<f64>() / lambdas.len() as f64;
        let squares = lambdas.iter().map(|lambda| (lambda - 0.5).powi(2));
        let variance = squares.sum::<f64>() / lambdas.len() as f64;
        assert!((mean - 0.5).abs() < 0.015, "alpha {alpha}: mean {mean}");
        let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0));
        assert!(
            (variance / expected - 1.0).abs() < 0.05,
            "alpha {alpha}: variance {variance}"
        );
    }
}

#[test]
fn what_is_drawn_has_the_stated_shares() {
    let mixup = mixup(0.8, 1.0)
        .with_probability(0.6)
        .with_switch_probability(0.25);
    let drawn = (0..20_000).map(|batch| mixup.sample(224, 224, &mut Mixup::rng(2, 3, batch)).unwrap());
    let (mut plain, mut cutmix) = (0, 0);
    for mixing in drawn {
        plain += usize::from(mixing == Mixing::Nothing);
        cutmix += usize::from(matches!(mixing, Mixing::Cutmix { .. }));
    }
    assert!((7650..8350).contains(&plain), "{plain}");
    assert!((2750..3250).contains(&cutmix), "{cutmix}");
}

#[test]
fn a_batch_is_mixed_the_same_way_whenever_it_comes() {
    let mixup = mixup(0.8, 1.0);
    let sample = |seed, epoch, batch| mixup.sample(32, 32, &mut Mixup::rng(seed, epoch, batch)).unwrap();
    assert_eq!(sample(1, 2, 3), sample(1, 2, 3));
    for other in [sample(0, 2, 3), sample(1, 0, 3), sample(1, 2, 0)] {
        assert_ne!(sample(1, 2, 3), other);
    }
}

#[test]
fn without_alphas_nothing_is_mixed_and_bad_ones_are_errors() {
    let mut rng = Mixup::rng(0, 0, 0);
    assert_eq!(mixup(0.0, 0.0).sample(8, 8, &mut rng).unwrap(), Mixing::Nothing);
    for alpha in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(mixup(alpha, 0.0).sample(8, 8, &mut rng).is_err());
        assert!(mixup(1.0, alpha).sample(8, 8, &mut rng).is_err());
    }
}

#[test]
fn a_label_that_is_no_class_is_an_error() {
    let images = Tensor::zeros([2, 3, 4, 4], (Kind::Float, tch::Device::Cpu));
    let labels = Tensor::from_slice(&[0_i64, 3]);
    assert!(mixup(1.0, 0.0).apply(Mixing::Nothing, images, &labels).is_err());
}
