//! Hub folders: written whole or not at all, and read as they are or refused by the name of the setting.

use std::fs;

use crate::{convert, effnet, labelled, python, reference, refused, stderr, write_zeros};

#[test]
fn a_folder_is_written_whole_or_not_at_all() {
    let home = labelled();
    let folder = home.path();
    write_zeros(folder, "tf", "tf");
    write_zeros(folder, "timm", "timm");
    convert(
        folder,
        &[
            "tf.safetensors",
            "out",
            "--to",
            "transformers",
            "--labels",
            "labels.txt",
        ],
    );
    let mut files: Vec<_> = fs::read_dir(folder.join("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(
        files,
        ["config.json", "model.safetensors", "preprocessor_config.json"]
    );
    let again = ["convert", "tf.safetensors", "out", "--to", "timm"];
    refused(folder, &again, &["out: the folder is not empty", "--force"]);
    let own = ["convert", "out", "out", "--to", "timm", "--force"];
    refused(folder, &own, &["the output is the input"]);
    let other = ["convert", "timm.safetensors", "none", "--to", "transformers"];
    refused(
        folder,
        &other,
        &["transformers cannot run", "profile timm", "--to timm"],
    );
    assert!(!folder.join("none").exists());
    let keras = ["convert", "timm.safetensors", "none.weights.h5", "--to", "keras"];
    refused(folder, &keras, &["profile tf", "profile timm"]);
    let names = ["convert", "tf.safetensors", "none.weights.h5", "--to", "timm"];
    refused(folder, &names, &["pass --to keras"]);
    let half = [
        "convert",
        "tf.safetensors",
        "none.weights.h5",
        "--to",
        "keras",
        "--dtype",
        "bf16",
    ];
    refused(folder, &half, &["bf16", "--dtype f16"]);
    let plain = ["convert", "tf.safetensors", "none.h5", "--to", "keras"];
    refused(folder, &plain, &["none.h5: unknown extension", ".weights.h5"]);
    let nameless = [
        "convert",
        "tf.safetensors",
        "none.safetensors",
        "--labels",
        "no.txt",
    ];
    refused(folder, &nameless, &["error: no.txt: cannot read class names"]);
    let folder_of_others = ["convert", "tf.safetensors", "none", "--to", "torchvision"];
    refused(folder, &folder_of_others, &["unknown extension"]);
    assert!(!folder.join("none").exists() && !folder.join("none.weights.h5").exists());
}

/// A folder without this project's metadata, whose settings are changed one by one.
#[test]
fn settings_that_effnet_cannot_follow_are_refused_by_name() {
    let home = labelled();
    let folder = home.path();
    write_zeros(folder, "tf", "tf");
    convert(folder, &["tf.safetensors", "out", "--to", "transformers"]);
    let read = |name: &str| -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(folder.join("out").join(name)).unwrap()).unwrap()
    };
    let (config, processor) = (read("config.json"), read("preprocessor_config.json"));
    for (name, key, value, word) in [
        (
            "config.json",
            "batch_norm_eps",
            serde_json::json!(1e-5),
            "expected 0.001",
        ),
        (
            "config.json",
            "depthwise_padding",
            serde_json::json!([1]),
            "for images of 224 pixels",
        ),
        (
            "config.json",
            "hidden_act",
            serde_json::json!("relu"),
            "expected swish",
        ),
        (
            "preprocessor_config.json",
            "resample",
            serde_json::json!(1),
            "bicubic",
        ),
        (
            "preprocessor_config.json",
            "do_resize",
            serde_json::json!(false),
            "expected true",
        ),
    ] {
        let mut changed = if name == "config.json" {
            config.clone()
        } else {
            processor.clone()
        };
        changed[key] = value;
        fs::write(folder.join("out").join(name), changed.to_string()).unwrap();
        refused(folder, &["convert", "out", "x.safetensors"], &[name, key, word]);
        let original = if name == "config.json" {
            &config
        } else {
            &processor
        };
        fs::write(folder.join("out").join(name), original.to_string()).unwrap();
    }
    let output = effnet(folder, &["inspect", "out", "--format", "json"]);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn a_folder_of_transformers_gives_its_own_probabilities() {
    let Some(photo) = reference("a_folder_of_transformers_gives_its_own_probabilities") else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let (folder, photo) = (home.path(), photo.to_str().unwrap());
    python(folder, &["save-transformers", "b0", "saved"]);
    let returned = python(folder, &["classify-transformers", "saved", photo]);
    let expected: Vec<(String, f64)> = serde_json::from_value(returned).unwrap();
    let output = effnet(
        folder,
        &["classify", photo, "--weights", "saved", "--format", "json"],
    );
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = line["predictions"].as_array().unwrap();
    for ((label, probability), found) in expected.iter().zip(found) {
        assert_eq!(found["label"], serde_json::json!(label));
        let difference = (found["probability"].as_f64().unwrap() - probability).abs();
        assert!(difference < 1e-4, "{label}: {found}, expected {probability}");
    }
}
