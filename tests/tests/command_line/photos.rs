//! Real photos through the whole program, against the same in Python.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use effnet_tests::{effnet, finish, interpreter, shared_data, skip};
use serde_json::Value;

use crate::SHARED;

/// The photos, and a folder with what `photo_classes.py` makes of them, which takes a while.
fn photos_and_weights(test: &str) -> Option<(PathBuf, &'static Path)> {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let found = shared_data().and_then(|data| Ok((data.join("images"), interpreter()?)));
    let (photos, python) = found.map_err(|reason| skip(test, &reason)).ok()?;
    let folder = FOLDER.get_or_init(|| {
        let folder = Path::new(SHARED).join("photo-classes");
        std::fs::create_dir_all(&folder).unwrap();
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../scripts/reference/photo_classes.py"
        );
        let made = Command::new(python).arg(script).args([&photos, &folder]).status();
        assert!(made.unwrap().success());
        folder
    });
    Some((photos, folder.as_path()))
}

#[test]
fn photos_get_the_classes_and_the_logits_that_python_gives_them() {
    let test = "photos_get_the_classes_and_the_logits_that_python_gives_them";
    let Some((photos, folder)) = photos_and_weights(test) else {
        return;
    };
    let expected = std::fs::read_to_string(folder.join("expected.json")).unwrap();
    let expected: BTreeMap<String, Vec<f64>> = serde_json::from_str(&expected).unwrap();

    let run = finish(
        effnet()
            .arg("classify")
            .arg(&photos)
            .arg("--weights")
            .arg(folder.join("weights.pth"))
            .args(["--precision", "fp32", "--format", "json", "--top-k", "0"]),
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

/// The most probable class of each photo, and how probable it is.
fn best_classes(photos: &Path, weights: &Path, precision: &str) -> Vec<(u64, f64)> {
    let run = finish(
        effnet()
            .arg("classify")
            .arg(photos)
            .arg("--weights")
            .arg(weights)
            .args(["--precision", precision, "--format", "json", "--top-k", "1"]),
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let best = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap();
        let best = &record["predictions"][0];
        (
            best["class"].as_u64().unwrap(),
            best["probability"].as_f64().unwrap(),
        )
    };
    run.stdout.lines().map(best).collect()
}

#[test]
fn bf16_gives_photos_the_classes_that_floats_give_them() {
    let Some((photos, folder)) = photos_and_weights("bf16_gives_photos_the_classes_that_floats_give_them")
    else {
        return;
    };
    let weights = folder.join("fitted.pth");
    let floats = best_classes(&photos, &weights, "fp32");
    let narrow = best_classes(&photos, &weights, "bf16");
    assert_ne!(floats, narrow, "bf16 was not used");
    let classes: BTreeSet<u64> = floats.iter().map(|&(class, _)| class).collect();
    assert!(classes.len() >= 100, "only {} classes", classes.len());
    let equal = floats
        .iter()
        .zip(&narrow)
        .filter(|(float, narrow)| float.0 == narrow.0);
    let equal = equal.count() as f64 / floats.len() as f64;
    let mut sure: Vec<f64> = floats.iter().map(|&(_, probability)| probability).collect();
    sure.sort_by(f64::total_cmp);
    println!(
        "{equal}, probabilities from {} and mostly above {}",
        sure[0],
        sure[sure.len() / 10]
    );
    assert!(equal >= 0.99, "{equal} of the photos");
}
