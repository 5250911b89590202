//! Calls `effnet evaluate`, `average` and `convert` on runs made of the bundled weights: which images are evaluated, for which
//! task, and which files are written.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use effnet_checkpoint::{Checkpoint, write_safetensors};
use serde_json::json;

/// The classes of the bundled weights.
const CLASSES: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

fn effnet(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_effnet"))
        .args(arguments)
        .current_dir(folder)
        .env("EFFNET_OFFLINE", "1")
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    stderr(output)
}

/// Creates a folder with the images 0.ppm to 5.ppm.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    for seed in 0..6u8 {
        let mut file = b"P6 40 40 255\n".to_vec();
        file.extend((0..40 * 40 * 3u32).map(|index| (index % 251) as u8 ^ (41 * seed)));
        fs::write(home.path().join(format!("{seed}.ppm")), file).unwrap();
    }
    home
}

fn bundled() -> Checkpoint {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../weights/effnet-b0-cifar10.safetensors");
    Checkpoint::open(path).unwrap()
}

/// Writes the bundled weights with these entries in their metadata.
fn write_weights(path: &Path, entries: &[(&str, &str)]) {
    let checkpoint = bundled();
    let mut metadata = checkpoint.metadata().clone();
    let entries = entries.iter();
    metadata.extend(entries.map(|&(key, value)| (key.to_owned(), value.to_owned())));
    write_safetensors(path, checkpoint.state_dict(), &metadata).unwrap();
}

/// Creates a run that held out `validation`.
fn run(home: &Path, name: &str, config: &serde_json::Value, validation: &[&str]) -> PathBuf {
    let run = home.join(name);
    fs::create_dir(&run).unwrap();
    fs::write(run.join("config.json"), config.to_string()).unwrap();
    let split = json!({"training": 3, "validation": validation});
    fs::write(run.join("images.json"), split.to_string()).unwrap();
    run
}

#[test]
fn the_images_held_out_are_found_by_name_however_often_and_however_they_are_listed() {
    let home = home();
    let path = home.path();
    let config = json!({"data": path.join("labels.csv"), "task": "classify", "epochs": 1, "val_split": 0.5});
    let run = run(path, "run", &config, &["0.ppm", "1.ppm"]);
    write_weights(&run.join("best.safetensors"), &[("step", "1")]);
    // The first image has two classes.
    let rows = [
        ("0", "cat"),
        ("0", "ship"),
        ("1", "ship"),
        ("2", "cat"),
        ("3", "ship"),
        ("4", "cat"),
    ];
    for root in [String::new(), format!("{}/", path.display())] {
        let rows = rows.map(|(image, class)| format!("{root}{image}.ppm,{class}\n"));
        fs::write(path.join("labels.csv"), format!("path,label\n{}", rows.concat())).unwrap();
        for data in ["labels.csv", path.join("labels.csv").to_str().unwrap()] {
            let evaluated = effnet(path, &["evaluate", data, "--weights", "run"]);
            let errors = succeeded(&evaluated);
            assert!(
                errors.contains("evaluating the 3 held-out images of this run"),
                "{data}: {errors}"
            );
        }
    }
    let split = json!({"training": 3, "validation": ["0.ppm", "gone.ppm"]});
    fs::write(run.join("images.json"), split.to_string()).unwrap();
    let evaluated = effnet(path, &["evaluate", "labels.csv", "--weights", "run"]);
    assert_eq!(evaluated.status.code(), Some(2));
    let errors = stderr(&evaluated);
    assert!(
        errors.contains("cannot find 1 of the 2 held-out images"),
        "{errors}"
    );
}

#[test]
fn a_table_is_read_for_the_task_of_the_weights() {
    let home = home();
    let path = home.path();
    write_weights(&path.join("labels.safetensors"), &[("task", "multilabel")]);
    // With at most one label per image, it looks like one of classes, of which an image cannot have none.
    let table = "path,cat,ship\n0.ppm,1,0\n1.ppm,0,1\n2.ppm,0,0\n";
    fs::write(path.join("table.csv"), table).unwrap();
    let call = ["evaluate", "table.csv", "--weights", "labels.safetensors"];
    for more in [&[][..], &["--all"]] {
        let evaluated = effnet(path, &[&call, more].concat());
        let errors = succeeded(&evaluated);
        assert!(errors.contains("(3 images, 2 labels)"), "{errors}");
        assert!(String::from_utf8_lossy(&evaluated.stdout).contains("mAP"));
    }
    let evaluated = effnet(path, &["evaluate", "none.csv", "--weights", "labels.safetensors"]);
    assert!(stderr(&evaluated).contains("none.csv"), "{}", stderr(&evaluated));
}

#[test]
fn labels_are_separated_at_spaces_where_the_network_has_the_words() {
    let home = home();
    let path = home.path();
    write_weights(&path.join("labels.safetensors"), &[("task", "multilabel")]);
    fs::write(
        path.join("table.csv"),
        "path,labels\n0.ppm,cat ship\n1.ppm,dog ship\n",
    )
    .unwrap();
    let evaluated = effnet(
        path,
        &[
            "evaluate",
            "table.csv",
            "--weights",
            "labels.safetensors",
            "--format",
            "json",
        ],
    );
    succeeded(&evaluated);
    let report: serde_json::Value = serde_json::from_slice(&evaluated.stdout).unwrap();
    let support = |label: &str| {
        let classes = report["classes"].as_array().unwrap();
        let class = classes.iter().find(|class| class["label"] == label);
        class.map(|class| class["support"].clone())
    };
    let counted = ["cat", "dog", "ship"].map(support);
    assert_eq!(counted, [1, 1, 2].map(|count| Some(count.into())), "{report}");
}

#[test]
fn columns_that_a_network_does_not_predict_are_no_values() {
    let home = home();
    let path = home.path();
    let config = json!({"data": path.join("first.csv"), "task": "regression", "epochs": 1, "val_split": 0.5,
        "group_column": "patient"});
    let run = run(path, "run", &config, &[]);
    write_weights(&run.join("best.safetensors"), &[("task", "regression")]);
    let values = [1.5; 10].map(|value| value.to_string()).join(",");
    let table = |columns: &str, others: &str| {
        let row = |image: usize| format!("{image}.ppm,{others},{values}\n");
        let rows: String = (0..4).map(row).collect();
        format!("path,{columns},{}\n{rows}", CLASSES.join(","))
    };
    fs::write(path.join("first.csv"), table("patient", "7.5")).unwrap();
    fs::write(path.join("later.csv"), table("patient,year", "7.5,2024.5")).unwrap();
    fs::write(path.join("other.csv"), table("year", "2024.5")).unwrap();
    for data in ["later.csv", "other.csv"] {
        let evaluated = effnet(path, &["evaluate", data, "--weights", "run"]);
        let errors = succeeded(&evaluated);
        assert!(
            errors.contains("ignored columns: year, which the network does not predict"),
            "{errors}"
        );
        assert!(String::from_utf8_lossy(&evaluated.stdout).contains("MAE"));
    }
    let fewer = table("year", "2024.5").replace("truck", "lorry");
    fs::write(path.join("other.csv"), fewer).unwrap();
    let evaluated = effnet(path, &["evaluate", "other.csv", "--weights", "run"]);
    assert_eq!(evaluated.status.code(), Some(2));
    assert!(
        stderr(&evaluated).contains("expected the columns"),
        "{}",
        stderr(&evaluated)
    );
}

#[test]
fn the_labels_are_in_the_columns_of_the_run_or_in_those_that_are_named() {
    let home = home();
    let path = home.path();
    let config =
        json!({"data": path.join("first.csv"), "epochs": 1, "val_split": 0.5, "label_column": "seen"});
    let run = run(path, "run", &config, &["0.ppm", "1.ppm"]);
    write_weights(&run.join("best.safetensors"), &[]);
    let rows = |first: &str| format!("path,{first},seen\n0.ppm,x,cat\n1.ppm,y,ship\n2.ppm,x,cat\n");
    for table in ["first.csv", "later.csv"] {
        fs::write(path.join(table), rows("label")).unwrap();
    }
    fs::write(path.join("other.csv"), "path,label\n0.ppm,cat\n1.ppm,ship\n").unwrap();
    fs::write(path.join("two.csv"), rows("other")).unwrap();
    let evaluate = |data: &str, more: &[&str]| {
        let call = ["evaluate", data, "--weights", "run"];
        effnet(path, &[&call, more].concat())
    };
    for (data, more, images) in [
        ("later.csv", &[][..], 3),
        ("other.csv", &[], 2),
        ("first.csv", &["--all"], 3),
        ("two.csv", &["--label-column", "Seen"], 3),
    ] {
        let errors = succeeded(&evaluate(data, more));
        assert!(errors.contains(&format!("({images} images")), "{data}: {errors}");
    }
    for (data, column, words) in [
        ("later.csv", "label", &["later.csv", "x"][..]),
        (
            "later.csv",
            "breed",
            &["--label-column breed", "path, label, seen"],
        ),
        // The images that the run held out, with other labels.
        ("first.csv", "label", &["x"]),
        ("first.csv", ",", &["--label-column \",\"", "name of a column"]),
    ] {
        let evaluated = evaluate(data, &["--label-column", column]);
        assert_eq!(evaluated.status.code(), Some(2), "{}", stderr(&evaluated));
        for word in words {
            assert!(stderr(&evaluated).contains(word), "{}", stderr(&evaluated));
        }
    }
}

#[test]
fn calibrating_replaces_calibrated_weights_only() {
    let home = home();
    let path = home.path();
    let rows = (0..6).map(|image| format!("{image}.ppm,{}\n", CLASSES[image]));
    fs::write(
        path.join("labels.csv"),
        format!("path,label\n{}", rows.collect::<String>()),
    )
    .unwrap();
    write_weights(
        &path.join("average.safetensors"),
        &[("averaged", "[\"a\",\"b\"]")],
    );
    write_weights(&path.join("last.safetensors"), &[]);
    let last = fs::read(path.join("last.safetensors")).unwrap();
    let call = |output: &str, more: &[&str]| {
        let call = [
            "evaluate",
            "labels.csv",
            "--weights",
            "average.safetensors",
            "--calibrate",
            output,
        ];
        effnet(path, &[&call, more].concat())
    };
    let refused = call("last.safetensors", &[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        stderr(&refused).contains("last.safetensors: already exists; pass --force"),
        "{}",
        stderr(&refused)
    );
    assert_eq!(fs::read(path.join("last.safetensors")).unwrap(), last);
    // Twice: a calibrated file may be replaced.
    for _ in 0..2 {
        succeeded(&call("new.safetensors", &[]));
    }
    let metadata = Checkpoint::open(path.join("new.safetensors")).unwrap();
    assert_eq!(metadata.metadata()["averaged"], "[\"a\",\"b\"]");
    succeeded(&call("last.safetensors", &["--force"]));
    assert_ne!(fs::read(path.join("last.safetensors")).unwrap(), last);
}

#[test]
fn averaging_runs_that_held_out_different_images_is_warned_of() {
    let home = home();
    let path = home.path();
    for (name, held_out) in [("a", ["0", "1"]), ("b", ["1", "0"]), ("c", ["0", "2"])] {
        let run = run(path, name, &json!({"data": path, "epochs": 1}), &held_out);
        write_weights(&run.join("best.safetensors"), &[]);
    }
    for (runs, is_warned) in [(["a", "b"], false), (["b", "c"], true)] {
        let output = format!("{}.safetensors", runs.concat());
        let averaged = effnet(path, &["average", runs[0], runs[1], "--output", &output]);
        let errors = succeeded(&averaged);
        assert_eq!(errors.contains("--split-seed"), is_warned, "{errors}");
    }
}

#[test]
fn a_pth_file_is_said_to_lose_the_task() {
    let home = home();
    let path = home.path();
    let thresholds = format!("{:?}", [0.25; 10]);
    write_weights(
        &path.join("labels.safetensors"),
        &[("task", "multilabel"), ("thresholds", &thresholds)],
    );
    write_weights(&path.join("classes.safetensors"), &[]);
    for (input, expected) in [
        (
            "labels",
            "class names, thresholds, preprocessing and the task (multilabel)",
        ),
        ("classes", "cannot hold class names and preprocessing"),
    ] {
        let (input, output) = (format!("{input}.safetensors"), format!("{input}.pth"));
        let errors = succeeded(&effnet(path, &["convert", &input, &output]));
        assert!(errors.contains(expected), "{errors}");
    }
}
