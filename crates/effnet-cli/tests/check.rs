//! Calls `effnet check` with the bundled weights on a small data set with planted faults.

#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn check(data: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_effnet"))
        .arg("check")
        .arg(data)
        .args(["--model", "b0.cifar10", "--image-size", "32"])
        .args(arguments)
        .env("EFFNET_OFFLINE", "1")
        .output()
        .unwrap()
}

/// Writes an image of waves that depends on `seed` as a binary PPM.
fn write(path: &Path, seed: usize) {
    let mut file = b"P6 48 40 255\n".to_vec();
    let (x_step, y_step) = (0.05 + 0.013 * seed as f64, 0.31 - 0.011 * seed as f64);
    for y in 0..40 {
        for x in 0..48 {
            let wave = (x_step * f64::from(x)).sin() + (y_step * f64::from(y) + seed as f64).cos();
            let grey = (127.0 + 60.0 * wave) as u8;
            file.extend([grey, 255 - grey, grey / 2]);
        }
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, file).unwrap();
}

/// Creates eight images per class for training and two for validation.
fn data_set(folder: &Path) {
    for (class, label) in ["cat", "<b>dog"].into_iter().enumerate() {
        for index in 0..10 {
            let part = if index < 8 { "train" } else { "val" };
            write(
                &folder.join(part).join(label).join(format!("{index}.ppm")),
                10 * class + index,
            );
        }
    }
}

#[test]
fn a_leak_with_another_label_and_a_damaged_file_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    data_set(data);
    fs::copy(data.join("train/cat/3.ppm"), data.join("val/<b>dog/copy.ppm")).unwrap();
    fs::write(
        data.join("train/cat/damaged.jpg"),
        b"\xff\xd8\xff\xe0 and then nothing",
    )
    .unwrap();
    let page = data.join("check.html");
    let output = check(data, &["--format", "json", "--html", page.to_str().unwrap()]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("damaged.jpg"), "{errors}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["images"], 21);
    assert_eq!(report["classes"][1]["val"], 2, "{report}");
    assert_eq!(report["unreadable"][0]["part"], "train");
    let groups = report["duplicates"].as_array().unwrap();
    let copy = groups.iter().find(|group| group["exact"] == true).unwrap();
    assert_eq!(
        (&copy["crosses_parts"], &copy["labels_differ"]),
        (&true.into(), &true.into())
    );
    assert_eq!(copy["images"].as_array().unwrap().len(), 2, "{copy}");
    // The page stands alone, and names are text in it.
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("data:image/png;base64,") && page.contains("&lt;b&gt;dog"));
    for foreign in ["http://", "https://", "<b>", "<script", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}

#[test]
fn leaks_between_any_two_splits_are_found_and_the_splits_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    data_set(data);
    for class in ["cat", "<b>dog"] {
        write(&data.join("test").join(class).join("0.ppm"), 40 + class.len());
    }
    let copy = |from: &str, to: &str| fs::copy(data.join(from), data.join(to)).unwrap();
    copy("train/cat/1.ppm", "test/cat/1.ppm");
    copy("val/cat/8.ppm", "test/cat/8.ppm");
    copy("train/<b>dog/2.ppm", "val/<b>dog/2.ppm");
    let page = data.join("check.html");
    let output = check(data, &["--format", "json", "--html", page.to_str().unwrap()]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        report["splits"],
        serde_json::json!([
            {"part": "train", "name": "train/", "images": 16},
            {"part": "val", "name": "val/", "images": 5},
            {"part": "test", "name": "test/", "images": 4},
        ])
    );
    let parts: Vec<String> = report["duplicates"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|group| group["exact"] == true && group["crosses_parts"] == true)
        .map(|group| format!("{} {}", group["images"][0]["part"], group["images"][1]["part"]))
        .collect();
    assert_eq!(
        parts,
        [r#""train" "val""#, r#""train" "test""#, r#""val" "test""#]
    );
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("in training and test") && page.contains("in validation and test"));
    let text = String::from_utf8(check(data, &[]).stdout).unwrap();
    let parts = "images           25: 16 training (train/), 5 validation (val/), 4 test (test/)";
    assert!(
        text.contains(parts) && text.contains("1 in training and test"),
        "{text}"
    );
}

#[test]
fn a_sound_data_set_has_no_failures_and_a_missing_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    data_set(folder.path());
    let output = check(folder.path(), &[]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("unreadable       0"), "{text}");
    assert!(text.contains("2 classes of 10 images each"), "{text}");
    let output = check(&folder.path().join("missing"), &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("missing"));
}

#[test]
fn the_column_of_the_labels_may_be_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = "path,cat,dog,place\n".to_owned();
    for index in 0..6 {
        write(&folder.path().join(format!("{index}.ppm")), index);
        let place = ["home", "park"][index % 2];
        writeln!(table, "{index}.ppm,1,1,{place}").unwrap();
    }
    let data = folder.path().join("table.csv");
    fs::write(&data, table).unwrap();
    let refused = check(&data, &[]);
    let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{errors}");
    assert!(
        errors.contains("one class for each image")
            && errors.contains("--label-column")
            && !errors.contains("--task"),
        "{errors}"
    );
    let output = check(&data, &["--format", "json", "--label-column", "place"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["images"], &report["classes"][1]["label"]),
        (&6.into(), &"park".into()),
        "{report}"
    );
}
