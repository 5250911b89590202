//! Metrics against numbers worked out by hand.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use effnet_data::metrics::{Confusion, Metrics, MetricsError};
use effnet_train::measure;
use tch::{Kind, Tensor};

/// Logits whose softmax is `probabilities`.
fn logits(probabilities: &[f64]) -> Vec<f32> {
    probabilities.iter().map(|p| p.ln() as f32).collect()
}

fn metrics(classes: usize, rows: &[(&[f64], usize)]) -> Metrics {
    let mut metrics = Metrics::new(classes);
    for (probabilities, label) in rows {
        metrics.push(&logits(probabilities), *label).unwrap();
    }
    metrics
}

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
}

/// Three classes; the second and the fourth row are mistakes.
const ROWS: [(&[f64], usize); 5] = [
    (&[0.7, 0.2, 0.1], 0),
    (&[0.5, 0.3, 0.2], 1),
    (&[0.1, 0.8, 0.1], 1),
    (&[0.2, 0.5, 0.3], 0),
    (&[0.05, 0.05, 0.9], 2),
];

#[test]
fn top1_and_loss_are_means_over_images() {
    let summary = metrics(3, &ROWS).summary().unwrap();
    assert_eq!(summary.images, 5);
    near(summary.top1, 3.0 / 5.0);
    near(
        summary.loss,
        -(0.7f64.ln() + 0.3f64.ln() + 0.8f64.ln() + 0.2f64.ln() + 0.9f64.ln()) / 5.0,
    );
}

#[test]
fn top5_counts_the_five_highest_logits_of_equals_the_lower_classes() {
    let mut metrics = Metrics::new(7);
    let row = [6.0, 5.0, 4.0, 3.0, 2.0, 2.0, 1.0];
    for label in 0..7 {
        metrics.push(&row, label).unwrap();
    }
    let summary = metrics.summary().unwrap();
    near(summary.top1, 1.0 / 7.0);
    near(summary.top5, 5.0 / 7.0);
}

#[test]
fn of_equal_logits_the_lowest_class_is_predicted() {
    let mut metrics = Metrics::new(3);
    metrics.push(&[1.0, 1.0, 1.0], 1).unwrap();
    assert_eq!(metrics.confusion().get(1, 0), 1);
    assert_eq!(metrics.summary().unwrap().top1, 0.0);
}

#[test]
fn calibration_error_is_the_gap_between_confidence_and_accuracy_in_bins_of_a_fifteenth() {
    // Two rows of confidence 0.61 and 0.65 share the bin (9/15, 10/15], one of them is right; the third,
    // 0.9, is right and alone.
    let rows: [(&[f64], usize); 3] = [(&[0.61, 0.39], 0), (&[0.65, 0.35], 1), (&[0.1, 0.9], 1)];
    let expected = (2.0 * (0.63f64 - 0.5).abs() + (1.0 - 0.9)) / 3.0;
    near(metrics(2, &rows).summary().unwrap().ece, expected);
}

#[test]
fn a_network_that_is_sure_and_right_is_calibrated() {
    let mut metrics = Metrics::new(2);
    metrics.push(&[1000.0, 0.0], 0).unwrap();
    let summary = metrics.summary().unwrap();
    assert_eq!((summary.ece, summary.loss), (0.0, 0.0));
}

#[test]
fn the_loss_of_large_logits_does_not_overflow() {
    let mut metrics = Metrics::new(2);
    metrics.push(&[3e38, -3e38], 1).unwrap();
    near(metrics.summary().unwrap().loss / 6e38, 1.0);
}

#[test]
fn precision_recall_and_f1_follow_from_the_confusion_matrix() {
    let metrics = metrics(3, &ROWS);
    let confusion = metrics.confusion();
    let matrix: Vec<u64> = (0..9).map(|cell| confusion.get(cell / 3, cell % 3)).collect();
    assert_eq!(matrix, [1, 1, 0, 1, 1, 0, 0, 0, 1]);
    let classes = confusion.classes();
    for class in &classes[..2] {
        assert_eq!(class.support, 2);
        assert_eq!(class.precision, Some(0.5));
        assert_eq!(class.recall, Some(0.5));
        assert_eq!(class.f1, Some(0.5));
    }
    assert_eq!(classes[2].f1, Some(1.0));
}

#[test]
fn a_class_that_does_not_occur_has_no_recall_and_one_that_is_never_predicted_no_precision() {
    let metrics = metrics(3, &[(&[0.8, 0.1, 0.1], 1)]);
    let classes = metrics.confusion().classes();
    assert_eq!((classes[0].precision, classes[0].recall), (Some(0.0), None));
    assert_eq!((classes[1].precision, classes[1].recall), (None, Some(0.0)));
    assert_eq!((classes[0].f1, classes[1].f1), (Some(0.0), Some(0.0)));
    assert_eq!(
        (classes[2].precision, classes[2].recall, classes[2].f1),
        (None, None, None)
    );
}

#[test]
fn mistakes_are_listed_most_frequent_first() {
    let sure: [&[f64]; 3] = [&[0.8, 0.1, 0.1], &[0.1, 0.8, 0.1], &[0.1, 0.1, 0.8]];
    let rows = [
        (sure[1], 0),
        (sure[2], 1),
        (sure[2], 1),
        (sure[0], 0),
        (sure[0], 2),
    ];
    let mistake = |actual, predicted, images| Confusion {
        actual,
        predicted,
        images,
    };
    let expected = [mistake(1, 2, 2), mistake(0, 1, 1), mistake(2, 0, 1)];
    assert_eq!(metrics(3, &rows).confusion().mistakes(), expected);
}

#[test]
fn merged_parts_give_the_whole_however_it_was_divided() {
    let whole = metrics(3, &ROWS);
    for cut in 0..=ROWS.len() {
        let mut merged = metrics(3, &ROWS[..cut]);
        merged.merge(&metrics(3, &ROWS[cut..])).unwrap();
        assert_eq!(merged.confusion(), whole.confusion());
        let (merged, whole) = (merged.summary().unwrap(), whole.summary().unwrap());
        assert_eq!((merged.top1, merged.top5), (whole.top1, whole.top5));
        near(merged.loss, whole.loss);
        near(merged.ece, whole.ece);
    }
}

#[test]
fn parts_with_other_classes_do_not_merge() {
    let error = Metrics::new(3).merge(&Metrics::new(4)).unwrap_err();
    assert!(matches!(error, MetricsError::Merge { classes: 3, found: 4 }));
}

#[test]
fn a_batch_of_any_kind_adds_up_to_its_rows() {
    let values: Vec<f32> = ROWS.iter().flat_map(|(row, _)| logits(row)).collect();
    let labels: Vec<i64> = ROWS.iter().map(|&(_, label)| label as i64).collect();
    let batch = Tensor::from_slice(&values).view([5, 3]);
    let mut metrics = Metrics::new(3);
    measure(
        &mut metrics,
        &batch.to_kind(Kind::Double),
        &Tensor::from_slice(&labels).to_kind(Kind::Int),
    )
    .unwrap();
    assert_eq!(metrics, self::metrics(3, &ROWS));
    // Columns of a wider tensor: not contiguous.
    let wide = Tensor::cat(&[&batch, &batch], 1).narrow(1, 3, 3);
    let mut metrics = Metrics::new(3);
    measure(&mut metrics, &wide, &Tensor::from_slice(&labels)).unwrap();
    assert_eq!(metrics, self::metrics(3, &ROWS));
}

#[test]
fn wrong_shapes_labels_and_numbers_are_named_and_not_counted() {
    let mut metrics = Metrics::new(3);
    let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, tch::Device::Cpu));
    for (logits, labels) in [(&[2, 4][..], 2), (&[2, 3], 3), (&[3], 1), (&[2, 3, 1], 2)] {
        let labels = zeros(&[labels]).to_kind(Kind::Int64);
        let error = measure(&mut metrics, &zeros(logits), &labels).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("expected logits of shape [N, 3] and labels of shape [N]"),
            "{error}"
        );
    }
    let error = measure(&mut metrics, &zeros(&[1, 3]), &Tensor::from_slice(&[-1i64])).unwrap_err();
    assert_eq!(error.to_string(), "label -1 is out of range, expected 0 to 2");
    assert!(metrics.push(&[0.0; 3], 3).is_err());
    let error = metrics.push(&[0.0, f32::NAN, 0.0], 0).unwrap_err();
    assert!(error.to_string().contains("NaN for class 1"), "{error}");
    assert_eq!(metrics.summary(), None);
}
