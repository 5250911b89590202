//! How the folders of a data set are matched to the classes of a network.

use std::path::Path;

use effnet_tests::{Finished, effnet, finish};
use serde_json::Value;

use super::{weights, write_images};

fn evaluate(home: &Path, folders: &[&str], arguments: &[&str]) -> Finished {
    for folder in folders {
        write_images(&home.join("data").join(folder), 1);
    }
    let fixed = [
        "evaluate",
        "data",
        "--device",
        "cpu",
        "--image-size",
        "64",
        "--format",
        "json",
    ];
    finish(effnet().current_dir(home).args(fixed).args(arguments))
}

fn labels(run: &Finished) -> Vec<(u64, u64)> {
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let number = |class: &Value, field: &str| class[field].as_u64().unwrap();
    let classes = report["classes"].as_array().unwrap().iter();
    let measured = classes.filter(|class| class["support"] != 0);
    measured
        .map(|class| (number(class, "class"), number(class, "support")))
        .collect()
}

#[test]
fn folders_belong_to_classes_by_their_names_and_not_by_their_order() {
    let home = tempfile::tempdir().unwrap();
    weights(home.path(), &["zebra", "ant", "polar bear"]);
    let run = evaluate(
        home.path(),
        &["ant", "zebra"],
        &["--weights", "named.safetensors"],
    );
    assert_eq!(labels(&run), [(0, 1), (1, 1)]);
}

#[test]
fn imagenet_is_known_by_ids_numbers_and_names() {
    let thousand: Vec<String> = (0..1000).map(|class| format!("class {class}")).collect();
    let thousand: Vec<&str> = thousand.iter().map(String::as_str).collect();
    for folders in [["n01440764", "n02510455"], ["0", "388"], ["tench", "giant_panda"]] {
        let home = tempfile::tempdir().unwrap();
        weights(home.path(), &thousand);
        // Without names of their own, a thousand classes are those of ImageNet.
        let run = evaluate(home.path(), &folders, &["--weights", "bare.safetensors"]);
        assert_eq!(labels(&run), [(0, 1), (388, 1)], "{folders:?}");
    }
}

#[test]
fn the_names_can_be_given() {
    let home = tempfile::tempdir().unwrap();
    weights(home.path(), &["a", "b"]);
    std::fs::write(home.path().join("names.txt"), "dog\nant\n").unwrap();
    let arguments = ["--weights", "named.safetensors", "--labels", "names.txt"];
    assert_eq!(labels(&evaluate(home.path(), &["ant"], &arguments)), [(1, 1)]);
}

#[test]
fn other_classes_than_the_networks_are_an_error_that_shows_both() {
    let home = tempfile::tempdir().unwrap();
    weights(home.path(), &["ant", "bee"]);
    let run = evaluate(home.path(), &["ant", "wasp"], &["--weights", "named.safetensors"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    for expected in [
        "wasp",
        "classes in the data: ant, wasp",
        "classes of the network: ant, bee",
        "--labels",
    ] {
        assert!(run.stderr.contains(expected), "{expected} in {}", run.stderr);
    }
}

#[test]
fn a_folder_without_folders_is_an_error_that_says_what_is_expected() {
    let home = tempfile::tempdir().unwrap();
    weights(home.path(), &["ant", "bee"]);
    write_images(&home.path().join("data"), 1);
    let run = evaluate(home.path(), &[], &["--weights", "named.safetensors"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert!(
        run.stderr.contains("one folder of images per class"),
        "{}",
        run.stderr
    );
}
