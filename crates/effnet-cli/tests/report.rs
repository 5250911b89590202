//! Calls `effnet report` on a run folder with the bundled weights.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;

fn effnet(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_effnet"))
        .args(arguments)
        .env("EFFNET_OFFLINE", "1")
        .output()
        .unwrap()
}

/// Writes an image of waves that depends on `seed` as a binary PPM.
fn write(path: &Path, seed: usize) {
    let mut file = b"P6 48 40 255\n".to_vec();
    for y in 0..40u32 {
        for x in 0..48u32 {
            let wave = (0.05 * f64::from(x) + seed as f64).sin() + (0.3 * f64::from(y)).cos();
            let grey = (127.0 + 60.0 * wave) as u8;
            file.extend([grey, 255 - grey, grey / 2]);
        }
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, file).unwrap();
}

/// Creates data of two of the classes of CIFAR-10, and a run that was trained on them for two epochs.
fn run_folder(home: &Path) -> std::path::PathBuf {
    for (class, label) in ["cat", "ship"].into_iter().enumerate() {
        for index in 0..6 {
            let part = if index < 2 { "train" } else { "val" };
            let folder = home.join("photos").join(part).join(label);
            write(&folder.join(format!("<i>{index}.ppm")), 10 * class + index);
        }
    }
    let run = home.join("<b>run");
    fs::create_dir(&run).unwrap();
    let config = json!({"data": home.join("photos"), "task": "classify", "epochs": 3, "val_split": 0.0,
        "weights": "pretrained", "image_size": 32, "label_smoothing": 0.25});
    fs::write(run.join("config.json"), config.to_string()).unwrap();
    let epoch = |epoch: u64| {
        json!({"record": "epoch", "epoch": epoch, "step": epoch, "lr": 1e-3, "train_loss": 0.5,
            "validation": {"images": 8, "top1": 0.5, "top5": 1.0, "loss": 0.7, "ece": 0.1}})
    };
    fs::write(run.join("log.jsonl"), format!("{}\n{}\n", epoch(1), epoch(2))).unwrap();
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../weights");
    let bundled = fs::read_dir(weights).unwrap().map(|entry| entry.unwrap().path());
    let bundled = bundled
        .into_iter()
        .find(|path| path.extension().is_some_and(|end| end == "safetensors"));
    fs::copy(bundled.unwrap(), run.join("best.safetensors")).unwrap();
    write_facts(&run, 1_795_978_350);
    run
}

/// Writes a `run.json` whose run started at `unix_time`.
fn write_facts(run: &Path, unix_time: u64) {
    let start = json!({"after_step": 0, "unix_time": unix_time, "effnet": "0.1.0", "libtorch": "2.11.0", "device": "cpu",
        "threads": 2, "processes": 1, "precision": "fp32"});
    let facts = json!({"command": "finetune", "parameters": 1, "seed": 0, "starts": [start], "epochs": []});
    fs::write(run.join("run.json"), facts.to_string()).unwrap();
}

#[test]
fn a_time_that_is_no_date_is_left_out() {
    let home = tempfile::tempdir().unwrap();
    let run = run_folder(home.path());
    for unix_time in [0, u64::MAX] {
        write_facts(&run, unix_time);
        let output = effnet(&["report", run.to_str().unwrap()]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        let report = fs::read_to_string(run.join("report.html")).unwrap();
        assert!(report.contains("libtorch 2.11.0") && !report.contains("GMT"));
    }
}

#[test]
fn the_pages_of_a_run_stand_alone_and_names_are_text_in_them() {
    let home = tempfile::tempdir().unwrap();
    let run = run_folder(home.path());
    let output = effnet(&["report", run.to_str().unwrap()]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        run.join("report.html").to_str().unwrap()
    );
    let report = fs::read_to_string(run.join("report.html")).unwrap();
    for expected in [
        "&lt;b&gt;run",
        "2 of 3",
        "trained by <code>effnet finetune</code>",
        "label-smoothing",
        "Most frequent mistakes",
        "<svg viewBox",
        "data:image/png;base64,",
        "mistakes.html",
        "reliability",
        "Sun, 29 Nov 2026 18:52:30 GMT",
        "alt=\"",
    ] {
        assert!(report.contains(expected), "{expected}");
    }
    let mistakes = fs::read_to_string(run.join("mistakes.html")).unwrap();
    assert!(mistakes.contains("&lt;i&gt;") && mistakes.contains("taken for"));
    for page in [report, mistakes] {
        for foreign in ["http://", "https://", "<b>", "<i>", "<script", "url("] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }
}

#[test]
fn the_images_of_another_data_set_are_shown_below_its_folder() {
    let home = tempfile::tempdir().unwrap();
    let run = run_folder(home.path());
    let photos = home.path().join("photos");
    // The run trained on `photos/train` and validated with `later`.
    let later = home.path().join("later");
    fs::rename(photos.join("val"), &later).unwrap();
    let config = fs::read_to_string(run.join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["val"] = json!(later);
    fs::write(run.join("config.json"), config.to_string()).unwrap();
    let output = effnet(&["report", run.to_str().unwrap()]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(errors.contains("8 validation images"), "{errors}");
    let report = fs::read_to_string(run.join("report.html")).unwrap();
    assert!(report.contains("8 of later"));
    let mistakes = fs::read_to_string(run.join("mistakes.html")).unwrap();
    assert!(mistakes.contains("data:image/"));
    let is_below = |class: &str| mistakes.contains(&format!("<span>{class}/<wbr>&lt;i&gt;"));
    assert!(is_below("cat") || is_below("ship"), "{mistakes}");

    fs::remove_dir_all(&later).unwrap();
    let output = effnet(&["report", run.to_str().unwrap()]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("later") && errors.contains("not there any more"),
        "{errors}"
    );
}

#[test]
fn what_is_no_run_or_has_no_epoch_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let run = run_folder(home.path());
    fs::write(run.join("log.jsonl"), "").unwrap();
    for (folder, expected) in [
        (run.as_path(), "no epoch has ended yet"),
        (home.path(), "expected a run folder"),
    ] {
        let output = effnet(&["report", folder.to_str().unwrap()]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(expected), "{errors}");
        assert!(!folder.join("report.html").exists());
    }
}
