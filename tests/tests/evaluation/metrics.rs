//! Metrics against torch's own operations.

use effnet_data::metrics::{ClassReport, Metrics};
use effnet_tests::{ask, skip, tensors};
use effnet_train::measure;
use serde_json::{Value, json};

fn near(name: &str, found: f64, expected: &Value) {
    let expected = expected.as_f64().unwrap();
    assert!(
        (found - expected).abs() < 1e-9,
        "{name}: {found} instead of {expected}"
    );
}

#[test]
fn metrics_are_those_of_torch_however_images_are_batched() {
    const IMAGES: i64 = 700;
    const CLASSES: usize = 20;
    let folder = tempfile::tempdir().unwrap();
    let request = json!({
        "request": "metrics", "classes": CLASSES, "images": IMAGES, "folder": folder.path(),
    });
    let expected = match ask(&request) {
        Ok(answer) => answer,
        Err(reason) => {
            return skip("metrics_are_those_of_torch_however_images_are_batched", &reason);
        }
    };
    let inputs = tensors(&folder.path().join("expected.safetensors"));
    for batch in [IMAGES, 64] {
        let mut metrics = Metrics::new(CLASSES);
        let parts = |name: &str| inputs[name].split(batch, 0);
        for (logits, labels) in parts("logits").iter().zip(parts("labels")) {
            measure(&mut metrics, logits, &labels).unwrap();
        }
        let summary = metrics.summary().unwrap();
        assert_eq!(summary.images, IMAGES as u64);
        near("loss", summary.loss, &expected["loss"]);
        near("top1", summary.top1, &expected["top1"]);
        near("top5", summary.top5, &expected["top5"]);
        near("ece", summary.ece, &expected["ece"]);
        compare_classes(&metrics, &expected);
    }
}

fn compare_classes(metrics: &Metrics, expected: &Value) {
    let confusion = metrics.confusion();
    for (class, report) in confusion.classes().iter().enumerate() {
        let ClassReport {
            precision,
            recall,
            f1,
            ..
        } = *report;
        for (name, fraction) in [("precision", precision), ("recall", recall), ("f1", f1)] {
            match (fraction, &expected[name][class]) {
                (None, Value::Null) => {}
                (Some(found), expected) => near(name, found, expected),
                (None, expected) => panic!("{name} of class {class}: none instead of {expected}"),
            }
        }
        for predicted in 0..confusion.num_classes() {
            assert_eq!(
                confusion.get(class, predicted),
                expected["confusion"][class][predicted]
            );
        }
    }
}
