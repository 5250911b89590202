//! Published ImageNet weights, on photos: lite0, lite1 and lite2, which pip can download, through the whole command.

use std::path::{Path, PathBuf};

use effnet_tests::{Finished, ask, effnet, finish, published, shared_data, ship, skip};
use serde_json::{Value, json};

use super::{relative_difference, succeeded, text};

/// `max |difference| / max |expected|` of the logits of a photo.
const TOLERANCE: f64 = 2e-5;

/// The photos of the shared data, in order.
fn photos() -> Result<Vec<PathBuf>, String> {
    let folder = shared_data()?.join("images");
    let mut photos = Vec::new();
    for folder in [folder.clone(), folder.join("imagenet")] {
        let entries = std::fs::read_dir(&folder).map_err(|error| error.to_string())?;
        photos.extend(entries.map(|entry| entry.unwrap().path()).filter(|path| {
            let extension = path.extension().map(std::ffi::OsStr::to_ascii_lowercase);
            extension.is_some_and(|extension| extension == "jpg" || extension == "jpeg")
        }));
    }
    photos.sort();
    Ok(photos)
}

fn classify(weights: &Path, photos: &[PathBuf], arguments: &[&str]) -> Finished {
    let mut command = effnet();
    command.arg("classify").args(photos).arg("--weights").arg(weights);
    finish(command.args(["--top-k", "0", "--format", "json"]).args(arguments))
}

/// The logits by class, one row per photo.
fn rows(run: &Finished) -> Vec<Vec<f64>> {
    let row = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap();
        let predictions = record["predictions"].as_array().unwrap();
        let mut logits = vec![0.0; predictions.len()];
        for prediction in predictions {
            logits[prediction["class"].as_u64().unwrap() as usize] = prediction["logit"].as_f64().unwrap();
        }
        logits
    };
    succeeded(run).lines().map(row).collect()
}

fn best(logits: &[f64]) -> usize {
    (0..logits.len())
        .max_by(|&a, &b| logits[a].total_cmp(&logits[b]))
        .unwrap()
}

/// The number of rows with the same best class.
fn same_class(ours: &[Vec<f64>], theirs: &[Vec<f64>]) -> usize {
    ours.iter()
        .zip(theirs)
        .filter(|(a, b)| best(a) == best(b))
        .count()
}

fn agrees_on_photos(test: &str, variant: &str, [size, resize]: [u32; 2]) {
    let (weights, photos) = match (published(&format!("{variant}.imagenet")), photos()) {
        (Ok(weights), Ok(photos)) => (weights, photos),
        (Err(reason), _) | (_, Err(reason)) => return skip(test, &reason),
    };
    let request = json!({
        "request": "photo_logits", "variant": variant, "path": text(&weights),
        "photos": photos, "size": size, "resize": resize,
    });
    let answer = match ask(&request) {
        Ok(answer) => answer,
        Err(reason) => return skip(test, &reason),
    };
    let theirs: Vec<Vec<f64>> = serde_json::from_value(answer["logits"].clone()).unwrap();
    let ours = rows(&classify(&weights, &photos, &[]));
    assert!(ours.len() >= 100 && ours.len() == theirs.len());
    let differences = ours.iter().zip(&theirs).map(|(a, b)| relative_difference(a, b));
    let worst = differences.fold(0.0, f64::max);
    let bf16 = rows(&classify(&weights, &photos, &["--precision", "bf16"]));
    let same = same_class(&bf16, &theirs);
    println!(
        "{variant}: {} photos, logits {worst:.1e}, bf16 agrees on {same}",
        photos.len()
    );
    assert!(worst <= TOLERANCE, "{worst:.1e}");
    assert_eq!(same_class(&ours, &theirs), photos.len());
    assert!(same * 100 >= photos.len() * 99, "{same} of {}", photos.len());
}

#[test]
fn lite0_on_photos_equals_the_python_package() {
    agrees_on_photos("lite0_on_photos_equals_the_python_package", "lite0", [224, 256]);
}

#[test]
fn lite1_on_photos_equals_the_python_package() {
    agrees_on_photos("lite1_on_photos_equals_the_python_package", "lite1", [240, 272]);
}

#[test]
fn lite2_on_photos_equals_the_python_package() {
    agrees_on_photos("lite2_on_photos_equals_the_python_package", "lite2", [260, 292]);
}

#[test]
fn the_first_command_prints_what_the_readme_shows() {
    let weights = match published("lite0.imagenet") {
        Ok(weights) => weights,
        Err(reason) => return skip("the_first_command_prints_what_the_readme_shows", &reason),
    };
    let readme = std::fs::read_to_string(effnet_tests::checkout().join("README.md")).unwrap();
    let (_, block) = readme
        .split_once("$ scripts/effnet classify docs/ship.png --model lite0\n")
        .unwrap();
    let (block, _) = block.split_once("$ scripts/test").unwrap();
    // As there: in the checkout, with the cache of a user who has the weights.
    let run = finish(
        effnet()
            .current_dir(effnet_tests::checkout())
            .env("EFFNET_CACHE", weights.parent().unwrap())
            .args(["classify", "docs/ship.png", "--model", "lite0"]),
    );
    assert!(ship().exists());
    assert_eq!(succeeded(&run), block);
}
