//! Losses and metrics of multi-label classification and of regression against those of torch, torchvision, timm and
//! scikit-learn; see `scripts/reference/task_reference.py`.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

use effnet_data::metrics::{MetricsError, MultiLabelMetrics, RegressionMetrics};
use effnet_train::data::{Mixing, Mixup};
use effnet_train::{
    AsymmetricLoss, Batch, BinaryCrossEntropy, CrossEntropy, Error, FocalLoss, Huber, Loss, Measure,
    SquaredError, Targets,
};
use serde_json::Value;
use tch::{Kind, Tensor};

fn fixture() -> Value {
    serde_json::from_str(include_str!("fixtures/tasks.json")).unwrap()
}

fn floats(value: &Value) -> Vec<f64> {
    let values = value.as_array().unwrap().iter();
    values.map(|value| value.as_f64().unwrap()).collect()
}

fn rows(value: &Value, images: &Value) -> Tensor {
    let tensor = Tensor::from_slice(&floats(value)).to_kind(Kind::Float);
    tensor.view([images.as_i64().unwrap(), -1])
}

fn near(found: f64, expected: f64, what: &str) {
    let error = (found - expected).abs();
    assert!(
        error <= 1e-6 * expected.abs().max(0.1),
        "{what}: {found}, expected {expected}"
    );
}

/// Compares a loss and its gradient.
fn compare(case: &Value, loss: &dyn Loss, outputs: &Tensor, targets: Tensor) {
    let name = case["name"].as_str().unwrap();
    let outputs = outputs.copy().set_requires_grad(true);
    let found = loss.loss(&outputs, &Targets::Values(targets)).unwrap();
    near(found.double_value(&[]), case["loss"].as_f64().unwrap(), name);
    found.backward();
    let gradient: Vec<f64> = outputs
        .grad()
        .flatten(0, -1)
        .to_kind(Kind::Double)
        .try_into()
        .unwrap();
    let expected = floats(&case["gradient"]);
    let largest = expected
        .iter()
        .fold(0.0, |most: f64, value| most.max(value.abs()));
    for (found, expected) in gradient.iter().zip(&expected) {
        assert!(
            (found - expected).abs() <= 2e-6 * largest,
            "{name}: {found}, expected {expected}"
        );
    }
}

#[test]
fn the_losses_of_labels_and_their_gradients_equal_torchs_torchvisions_and_timms() {
    let fixture = fixture();
    let logits = rows(&fixture["logits"], &fixture["images"]);
    let cases = fixture["label_losses"].as_array().unwrap();
    assert_eq!(cases.len(), 12);
    for case in cases {
        let weights = [1.0, 4.0, 9.0, 0.5, 2.0];
        let asymmetric = AsymmetricLoss::default();
        let loss: Box<dyn Loss> = match case["name"].as_str().unwrap() {
            "bce" => Box::new(BinaryCrossEntropy::default()),
            "bce weighted" => Box::new(BinaryCrossEntropy::new(Some(&weights)).unwrap()),
            "focal" => Box::new(FocalLoss::default()),
            "focal unweighted" => Box::new(FocalLoss::default().with_alpha(None).with_gamma(1.5)),
            "asymmetric" => Box::new(asymmetric),
            "asymmetric other" => Box::new(
                asymmetric
                    .with_gamma_negative(2.0)
                    .with_gamma_positive(0.0)
                    .with_clip(0.0),
            ),
            other => panic!("{other}"),
        };
        compare(case, &*loss, &logits, rows(&case["targets"], &fixture["images"]));
    }
}

#[test]
fn the_losses_of_regression_and_their_gradients_equal_torchs() {
    let fixture = fixture();
    let [predicted, values] = ["predicted", "values"].map(|name| rows(&fixture[name], &fixture["images"]));
    let cases = fixture["value_losses"].as_array().unwrap();
    assert_eq!(cases.len(), 3);
    for case in cases {
        let loss: Box<dyn Loss> = match case["name"].as_str().unwrap() {
            "squared" => Box::new(SquaredError),
            "huber" => Box::new(Huber::default()),
            "huber half" => Box::new(Huber::new(0.5).unwrap()),
            other => panic!("{other}"),
        };
        compare(case, &*loss, &predicted, values.copy());
    }
}

#[test]
fn a_loss_in_half_precision_is_computed_in_32_bits() {
    let outputs = Tensor::from_slice2(&[[20.0f32, -20.0], [9.0, -9.0]]);
    let targets = || Targets::Values(Tensor::from_slice2(&[[1.0f32, 0.0], [1.0, 0.0]]));
    let losses: [&dyn Loss; 4] = [
        &BinaryCrossEntropy::default(),
        &FocalLoss::default(),
        &AsymmetricLoss::default(),
        &SquaredError,
    ];
    for loss in losses {
        let half = loss.loss(&outputs.to_kind(Kind::BFloat16), &targets()).unwrap();
        assert_eq!(half.kind(), Kind::Float, "{loss:?}");
        assert!(half.equal(&loss.loss(&outputs, &targets()).unwrap()), "{loss:?}");
    }
}

#[test]
fn metrics_of_labels_equal_scikit_learns_in_any_parts() {
    let fixture = fixture();
    let expected = &fixture["label_metrics"];
    let [logits, truths] = ["logits", "truths"].map(|name| rows(&fixture[name], &fixture["images"]));
    let mut metrics = MultiLabelMetrics::new(5);
    for (start, length) in [(0, 7), (7, 32), (39, 1)] {
        let mut part = MultiLabelMetrics::new(5);
        let targets = Targets::Values(truths.narrow(0, start, length));
        part.add(&logits.narrow(0, start, length), &targets).unwrap();
        Measure::merge(&mut metrics, &part).unwrap();
    }
    let precisions = metrics.average_precisions();
    let of_labels = expected["average_precisions"].as_array().unwrap();
    let mut sum = 0.0;
    for (found, expected) in precisions.iter().zip(of_labels) {
        assert_eq!(found.is_none(), expected.is_null());
        if let (Some(found), Some(expected)) = (found, expected.as_f64()) {
            near(*found, expected, "average precision");
            sum += expected;
        }
    }
    let summary = metrics.summary(&[0.5; 5]).unwrap();
    assert_eq!(summary.images, 40);
    near(summary.mean_average_precision.unwrap(), sum / 4.0, "mAP");
    for (name, found) in [
        ("micro_f1", summary.micro_f1.unwrap()),
        ("macro_f1", summary.macro_f1.unwrap()),
        ("exact", summary.exact),
        ("loss", summary.loss),
    ] {
        near(found, expected[name].as_f64().unwrap(), name);
    }
    let score = metrics.score().unwrap();
    assert_eq!(
        (Some(score.value), score.loss),
        (summary.mean_average_precision, summary.loss)
    );
    let reports = metrics.reports(&metrics.best_thresholds());
    for (report, best) in reports.iter().zip(expected["best_f1"].as_array().unwrap()) {
        if let Some(best) = best.as_f64() {
            near(report.f1.unwrap(), best, "F1 at the best threshold");
        }
    }
}

#[test]
fn metrics_of_regression_equal_scikit_learns() {
    let fixture = fixture();
    let expected = &fixture["value_metrics"];
    let [predicted, values] = ["predicted", "values"].map(|name| rows(&fixture[name], &fixture["images"]));
    let mut metrics = RegressionMetrics::new(3);
    metrics.add(&predicted, &Targets::Values(values)).unwrap();
    for (output, report) in metrics.reports().into_iter().enumerate() {
        near(report.mae, expected["mae"][output].as_f64().unwrap(), "MAE");
        near(report.mse, expected["mse"][output].as_f64().unwrap(), "MSE");
        near(report.r2.unwrap(), expected["r2"][output].as_f64().unwrap(), "R2");
    }
    let score = metrics.score().unwrap();
    let mae = floats(&expected["mae"]).iter().sum::<f64>() / 3.0;
    near(score.value, -mae, "mean MAE");
    let summary = metrics.summary().unwrap();
    near(
        summary.r2.unwrap(),
        expected["mean_r2"].as_f64().unwrap(),
        "mean R2",
    );
    let mse = floats(&expected["mse"]).iter().sum::<f64>() / 3.0;
    near(score.loss, mse, "mean MSE");
}

#[test]
fn targets_of_another_task_are_refused() {
    let outputs = Tensor::zeros([2, 3], (Kind::Float, tch::Device::Cpu));
    let classes = || Targets::Classes(Tensor::from_slice(&[0i64, 1]));
    let values =
        |columns: i64| Targets::Values(Tensor::full([2, columns], 0.5, (Kind::Float, tch::Device::Cpu)));
    for loss in [&BinaryCrossEntropy::default() as &dyn Loss, &SquaredError] {
        let error = loss.loss(&outputs, &classes()).unwrap_err().to_string();
        assert!(error.contains("values [2, 3], rather than classes"), "{error}");
        let error = loss.loss(&outputs, &values(2)).unwrap_err().to_string();
        assert!(error.contains("[2, 2]") && error.contains("[2, 3]"), "{error}");
    }
    let error = CrossEntropy::default()
        .forward(&outputs, &values(3))
        .unwrap_err()
        .to_string();
    assert!(error.contains("for cross-entropy"), "{error}");
    let mut metrics = MultiLabelMetrics::new(3);
    let error = metrics.add(&outputs, &values(3)).unwrap_err();
    assert!(
        matches!(error, Error::Metrics(MetricsError::Target { found: 0.5, .. })),
        "{error}"
    );
    assert!(matches!(
        metrics.add(&outputs, &classes()),
        Err(Error::Metrics(MetricsError::Columns { columns: 3, .. }))
    ));
}

#[test]
fn constants_out_of_their_ranges_are_refused() {
    let outputs = Tensor::zeros([2, 3], (Kind::Float, tch::Device::Cpu));
    let targets = Targets::Values(outputs.copy());
    let refused = |loss: &dyn Loss| loss.loss(&outputs, &targets).is_err();
    assert!(refused(&FocalLoss::default().with_gamma(-1.0)));
    assert!(refused(&FocalLoss::default().with_alpha(1.5)));
    assert!(refused(&AsymmetricLoss::default().with_clip(1.0)));
    assert!(refused(&AsymmetricLoss::default().with_gamma_negative(f64::NAN)));
    assert!(refused(&BinaryCrossEntropy::new(Some(&[1.0, 2.0])).unwrap()));
    assert!(BinaryCrossEntropy::new(Some(&[-1.0])).is_err());
    assert!(Huber::new(0.0).is_err());
}

#[test]
fn values_are_mixed_like_images() {
    let images = Tensor::from_slice(&[1.0f32, 3.0]).view([2, 1, 1, 1]);
    let targets = Targets::Values(Tensor::from_slice2(&[[1.0f32, 0.0], [0.0, 8.0]]));
    let mixing = Mixing::Mixup { lambda: 0.75 };
    let mixed = Mixup::new(1.0, 2)
        .apply_to_batch(mixing, Batch::new(images, targets))
        .unwrap();
    assert_eq!(
        Vec::<f32>::try_from(mixed.images.flatten(0, -1)).unwrap(),
        [1.5, 2.5]
    );
    assert!(matches!(mixed.targets, Targets::Values(_)));
    let values = Vec::<f32>::try_from(mixed.targets.tensor().flatten(0, -1)).unwrap();
    assert_eq!(values, [0.75, 2.0, 0.25, 6.0]);
}
