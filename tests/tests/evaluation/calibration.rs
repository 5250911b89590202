//! `effnet evaluate --calibrate`, `--predictions` and `--tta`.

use std::path::Path;

use effnet_tests::{Finished, effnet, finish};
use serde_json::Value;
use tempfile::TempDir;

use super::write_images;

fn run(home: &Path, arguments: &[&str]) -> Finished {
    finish(
        effnet()
            .current_dir(home)
            .args(arguments)
            .args(["--device", "cpu"]),
    )
}

fn json(run: &Finished) -> Vec<Value> {
    let lines = run.stdout.lines().map(serde_json::from_str);
    lines
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| panic!("{error}: {} {}", run.stdout, run.stderr))
}

/// Returns the logits of each image, in the order of the classes.
fn logits(home: &Path, arguments: &[&str]) -> Vec<Vec<f64>> {
    let classify = ["classify", "--format", "json", "--top-k", "0"];
    let run = run(home, &[&classify[..], arguments].concat());
    let logits = |record: &Value| {
        let mut classes: Vec<(u64, f64)> = record["predictions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|class| (class["class"].as_u64().unwrap(), class["logit"].as_f64().unwrap()))
            .collect();
        classes.sort_by_key(|class| class.0);
        classes.into_iter().map(|class| class.1).collect()
    };
    json(&run).iter().map(logits).collect()
}

/// Images of which two are in another folder than that of the class that the bundled network predicts.
fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    write_images(&home.path().join("images"), 8);
    let run = run(
        home.path(),
        &[
            "classify",
            "images",
            "--model",
            "b0.cifar10",
            "--format",
            "json",
            "-k",
            "2",
        ],
    );
    for (number, record) in json(&run).iter().enumerate() {
        let class = &record["predictions"][usize::from(number < 2)];
        let folder = home.path().join("photos").join(class["label"].as_str().unwrap());
        std::fs::create_dir_all(&folder).unwrap();
        let image = home.path().join(record["input"].as_str().unwrap());
        std::fs::copy(&image, folder.join(image.file_name().unwrap())).unwrap();
    }
    home
}

#[test]
fn the_calibrated_file_has_the_loss_that_was_promised_and_the_same_predictions() {
    let home = home();
    let evaluate = ["evaluate", "photos", "--format", "json"];
    let first = run(
        home.path(),
        &[
            &evaluate[..],
            &["--model", "b0.cifar10", "--calibrate", "calibrated.safetensors"],
        ]
        .concat(),
    );
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let first = &json(&first)[0];
    let found = |key: &str| first["calibrated"][key].as_f64().unwrap();
    let temperature = found("temperature");
    assert!(found("loss") < first["loss"].as_f64().unwrap());
    let second = run(
        home.path(),
        &[&evaluate[..], &["--weights", "calibrated.safetensors"]].concat(),
    );
    let second = &json(&second)[0];
    assert_eq!(first["top1"], second["top1"]);
    for key in ["loss", "ece"] {
        let (promised, measured) = (found(key), second[key].as_f64().unwrap());
        assert!((promised - measured).abs() < 1e-4, "{key} {promised} {measured}");
    }
    // The file is an ordinary one: each logit is divided by the temperature.
    let before = logits(home.path(), &["images", "--model", "b0.cifar10"]);
    let after = logits(home.path(), &["images", "--weights", "calibrated.safetensors"]);
    for (before, after) in before.iter().flatten().zip(after.iter().flatten()) {
        assert!(
            (before / temperature - after).abs() < 1e-4,
            "{before} {after} {temperature}"
        );
    }
    // It needs no further correction.
    let third = run(
        home.path(),
        &[
            &evaluate[..],
            &[
                "--weights",
                "calibrated.safetensors",
                "--calibrate",
                "again.safetensors",
            ],
        ]
        .concat(),
    );
    let again = json(&third)[0]["calibrated"]["temperature"].as_f64().unwrap();
    assert!((again - 1.0).abs() < 1e-3, "{again}");
}

#[test]
fn nothing_is_written_where_no_temperature_is_the_best() {
    let home = home();
    let right = home.path().join("right");
    let run_ = run(
        home.path(),
        &[
            "classify",
            "images",
            "--model",
            "b0.cifar10",
            "--copy-to",
            "right",
            "--quiet",
        ],
    );
    assert_eq!(run_.code, Some(0), "{}", run_.stderr);
    assert!(right.is_dir());
    let run_ = run(
        home.path(),
        &[
            "evaluate",
            "right",
            "--model",
            "b0.cifar10",
            "--calibrate",
            "calibrated.safetensors",
        ],
    );
    assert_eq!(run_.code, Some(1), "{}", run_.stderr);
    assert!(
        run_.stderr.contains("--calibrate: no temperature"),
        "{}",
        run_.stderr
    );
    assert!(
        run_.stdout.contains("top-1              100.00 %"),
        "{}",
        run_.stdout
    );
    assert!(!home.path().join("calibrated.safetensors").exists());
}

#[test]
fn an_output_that_cannot_hold_the_weights_is_refused_before_anything_is_read() {
    let home = tempfile::tempdir().unwrap();
    for output in ["calibrated.pth", "calibrated"] {
        let run = run(
            home.path(),
            &["evaluate", "none", "--model", "b0.cifar10", "--calibrate", output],
        );
        assert_eq!(run.code, Some(2));
        assert!(run.stderr.contains(".safetensors"), "{}", run.stderr);
    }
}

#[test]
fn predictions_have_the_probability_of_each_class() {
    let home = home();
    let of = |file: &str| {
        let run = run(
            home.path(),
            &[
                "evaluate",
                "photos",
                "--model",
                "b0.cifar10",
                "--predictions",
                file,
            ],
        );
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        std::fs::read_to_string(home.path().join(file)).unwrap()
    };
    let (table, lines) = (of("p.csv"), of("p.jsonl"));
    let mut rows = table.lines();
    let header = rows.next().unwrap();
    assert!(
        header.starts_with("input,label,prediction,probability,error,probability airplane,"),
        "{header}"
    );
    let mut count = 0;
    for (row, line) in rows.zip(lines.lines()) {
        let record: Value = serde_json::from_str(line).unwrap();
        let fields: Vec<&str> = row.split(',').collect();
        let all: Vec<f64> = fields[5..].iter().map(|field| field.parse().unwrap()).collect();
        let listed = record["probabilities"].as_array().unwrap();
        assert!(all.iter().zip(listed).all(|(a, b)| *a == b.as_f64().unwrap()));
        assert!((all.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let best = all.iter().copied().fold(0.0, f64::max);
        assert_eq!(fields[3].parse::<f64>().unwrap(), best);
        assert_eq!(
            (fields[1], fields[2]),
            (
                record["label"].as_str().unwrap(),
                record["prediction"].as_str().unwrap()
            )
        );
        count += 1;
    }
    assert_eq!(count, 8);
}

#[test]
fn test_time_augmentation_is_the_mean_for_the_image_and_its_mirror_image() {
    let home = tempfile::tempdir().unwrap();
    // A square image without a crop, so that the mirror image gives the mirrored pixels.
    let image = image::RgbImage::from_fn(160, 160, |x, y| {
        image::Rgb([(x / 2) as u8, (y / 2) as u8, (x * y / 101) as u8])
    });
    image.save(home.path().join("a.png")).unwrap();
    image::imageops::flip_horizontal(&image)
        .save(home.path().join("b.png"))
        .unwrap();
    let crop = ["--model", "b0.cifar10", "--crop-pct", "1"];
    let plain = logits(home.path(), &[&["a.png", "b.png"], &crop[..]].concat());
    let flipped = logits(home.path(), &[&["a.png", "--tta", "flip"], &crop[..]].concat());
    let furthest = plain[0]
        .iter()
        .zip(&plain[1])
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f64::max);
    assert!(furthest > 1e-2, "the two images differ by {furthest} only");
    for ((a, b), mean) in plain[0].iter().zip(&plain[1]).zip(&flipped[0]) {
        assert!(((a + b) / 2.0 - mean).abs() < 1e-3, "{a} {b} {mean}");
    }
}
