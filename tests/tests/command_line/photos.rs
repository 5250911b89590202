//! Real photos through the whole program, against the same in Python.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use effnet_tests::{effnet, finish, interpreter, shared_data, skip};
use serde_json::Value;

#[test]
fn photos_get_the_classes_and_the_logits_that_python_gives_them() {
    let test = "photos_get_the_classes_and_the_logits_that_python_gives_them";
    let photos = match shared_data() {
        Ok(data) => data.join("images"),
        Err(reason) => return skip(test, &reason),
    };
    let python = match interpreter() {
        Ok(python) => python,
        Err(reason) => return skip(test, &reason),
    };
    let folder = tempfile::tempdir().unwrap();
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../scripts/reference/photo_classes.py"
    );
    assert!(
        Command::new(python)
            .arg(script)
            .arg(&photos)
            .arg(folder.path())
            .status()
            .unwrap()
            .success()
    );
    let expected = std::fs::read_to_string(folder.path().join("expected.json")).unwrap();
    let expected: BTreeMap<String, Vec<f64>> = serde_json::from_str(&expected).unwrap();

    let run = finish(
        effnet()
            .arg("classify")
            .arg(&photos)
            .arg("--weights")
            .arg(folder.path().join("weights.pth"))
            .args(["--format", "json", "--top-k", "0"]),
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.stdout.lines().count(), expected.len());
    let mut classes = BTreeSet::new();
    for line in run.stdout.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let photo = record["input"].as_str().unwrap();
        let expected = &expected[photo];
        let best = (0..expected.len())
            .max_by(|&a, &b| expected[a].total_cmp(&expected[b]))
            .unwrap();
        let predictions = record["predictions"].as_array().unwrap();
        assert_eq!(predictions[0]["class"], best, "{photo}");
        classes.insert(best);
        let largest = expected
            .iter()
            .fold(0.0f64, |largest, logit| largest.max(logit.abs()));
        for prediction in predictions {
            let class = prediction["class"].as_u64().unwrap() as usize;
            let difference = (prediction["logit"].as_f64().unwrap() - expected[class]).abs();
            assert!(
                difference <= 1e-4 * largest,
                "{photo}: class {class} differs by {difference}"
            );
        }
    }
    // An agreement on one class for all would be none.
    assert!(classes.len() >= 20, "only {} classes", classes.len());
}
