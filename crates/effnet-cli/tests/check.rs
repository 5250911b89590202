//! Calls `effnet check` with the bundled weights on a small data set with planted faults.

#![allow(clippy::unwrap_used)]

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
    assert!(
        text.contains("2 classes, from 10 (<b>dog) to 10 (cat) images"),
        "{text}"
    );
    let output = check(&folder.path().join("missing"), &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("missing"));
}
