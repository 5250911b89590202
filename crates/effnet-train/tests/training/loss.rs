use effnet_train::{CrossEntropy, Targets};
use tch::{Device, Kind, Tensor};

use crate::{close, number};

fn logits() -> Tensor {
    Tensor::from_slice(&[1f32, 2.0, 0.0, 0.5, -1.0, 3.0]).view([2, 3])
}

fn classes(classes: &[i64]) -> Targets {
    Targets::Classes(Tensor::from_slice(classes))
}

/// `-log p` of each class of each image.
fn surprise() -> [[f64; 3]; 2] {
    [[1.0f64, 2.0, 0.0], [0.5, -1.0, 3.0]].map(|row| {
        let sum: f64 = row.iter().map(|logit| logit.exp()).sum();
        row.map(|logit| sum.ln() - logit)
    })
}

fn loss(smoothing: f64, weights: Option<&[f64]>, targets: &Targets) -> f64 {
    let loss = CrossEntropy::new(smoothing, weights).unwrap();
    number(&loss.forward(&logits(), targets).unwrap())
}

#[test]
fn it_is_the_mean_surprise_at_the_right_class() {
    let [a, b] = surprise();
    close(loss(0.0, None, &classes(&[1, 0])), f64::midpoint(a[1], b[0]));
}

#[test]
fn smoothing_spreads_a_part_over_all_classes() {
    let [a, b] = surprise();
    let mean = |row: [f64; 3]| row.iter().sum::<f64>() / 3.0;
    let expected = 0.9 * f64::midpoint(a[1], b[0]) + 0.1 * f64::midpoint(mean(a), mean(b));
    close(loss(0.1, None, &classes(&[1, 0])), expected);
}

#[test]
fn class_weights_weigh_the_mean() {
    let [a, b] = surprise();
    let expected = (3.0 * a[1] + 0.5 * b[0]) / 3.5;
    close(loss(0.0, Some(&[0.5, 3.0, 1.0]), &classes(&[1, 0])), expected);
}

#[test]
fn soft_targets_are_an_expectation() {
    let [a, b] = surprise();
    let soft = Tensor::from_slice(&[0f32, 0.7, 0.3, 1.0, 0.0, 0.0]).view([2, 3]);
    let expected = f64::midpoint(0.7 * a[1] + 0.3 * a[2], b[0]);
    close(loss(0.0, None, &Targets::Probabilities(soft)), expected);
}

#[test]
fn logits_in_half_precision_are_summed_in_full() {
    let half = logits().to_kind(Kind::BFloat16);
    let loss = CrossEntropy::default().forward(&half, &classes(&[1, 0])).unwrap();
    assert_eq!(loss.kind(), Kind::Float);
}

#[test]
fn targets_of_another_shape_are_refused() {
    let loss = CrossEntropy::default();
    let error = loss.forward(&logits(), &classes(&[1])).unwrap_err().to_string();
    assert_eq!(error, "the batch of targets has the shape [1], expected [2]");
    let wide = Targets::Probabilities(Tensor::zeros([2, 4], (Kind::Float, Device::Cpu)));
    let error = loss.forward(&logits(), &wide).unwrap_err().to_string();
    assert_eq!(
        error,
        "the batch of targets has the shape [2, 4], expected [2, 3]"
    );
    let weighted = CrossEntropy::new(0.0, Some(&[1.0, 1.0])).unwrap();
    let error = weighted
        .forward(&logits(), &classes(&[1, 0]))
        .unwrap_err()
        .to_string();
    assert_eq!(error, "the list of class weights has the shape [2], expected [3]");
}

#[test]
fn a_class_that_there_is_not_is_an_error() {
    assert!(
        CrossEntropy::default()
            .forward(&logits(), &classes(&[1, 3]))
            .is_err()
    );
}

#[test]
fn options_out_of_range_are_refused() {
    for smoothing in [1.0, -0.1, f64::NAN] {
        assert!(CrossEntropy::new(smoothing, None).is_err(), "{smoothing}");
    }
    assert!(CrossEntropy::new(0.0, Some(&[1.0, -1.0])).is_err());
}
