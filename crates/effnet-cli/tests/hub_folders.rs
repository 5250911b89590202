//! Takes weights through every naming scheme and back, and asks each library what it computes with them.

#![allow(clippy::unwrap_used, reason = "a test may panic if its own files are broken")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use effnet_checkpoint::{Checkpoint, DType, StateDict, write_safetensors};
use tempfile::TempDir;
use test_support::{interpreter, shared_data, skip, zeros};

fn effnet(folder: &Path, arguments: &[&str]) -> Output {
    let mut call = Command::new(env!("CARGO_BIN_EXE_effnet"));
    call.args(arguments).current_dir(folder).output().unwrap()
}

#[track_caller]
fn convert(folder: &Path, arguments: &[&str]) {
    let output = effnet(folder, &[&["convert"], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
}

#[track_caller]
fn refused(folder: &Path, arguments: &[&str], words: &[&str]) {
    let output = effnet(folder, arguments);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
    for word in words {
        assert!(
            message.contains(word),
            "{arguments:?}: `{word}` is missing in {message}"
        );
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Python with the libraries, and a photo. `None` after reporting why the test is skipped.
fn reference(test: &str) -> Option<(PathBuf, PathBuf)> {
    let found = interpreter().and_then(|python| Ok((python, shared_data()?)));
    let (python, data) = found.map_err(|reason| skip(test, &reason)).ok()?;
    Some((python, data.join("images/panda.jpg")))
}

/// Runs a task of `hub_folders.py` and returns the last line that it printed.
#[track_caller]
fn python(python: &Path, folder: &Path, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/reference/hub_folders.py");
    let mut call = Command::new(python);
    let output = call
        .arg(script)
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    printed.lines().last().unwrap_or_default().to_owned()
}

fn tensors(folder: &Path, name: &str) -> StateDict {
    Checkpoint::open(folder.join(name)).unwrap().into_state_dict()
}

/// Keras has no counters of batches.
#[track_caller]
fn same_bits(found: &StateDict, expected: &StateDict) {
    let expected = expected
        .iter()
        .filter(|(name, _)| !name.ends_with("num_batches_tracked"));
    let mut count = 0;
    for (name, tensor) in expected {
        let other = found.get(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(other.shape(), tensor.shape(), "{name}");
        assert!(
            other.bytes().unwrap() == tensor.bytes().unwrap(),
            "{name} differs"
        );
        count += 1;
    }
    let of_network = |name: &&str| !name.ends_with("num_batches_tracked");
    assert_eq!(found.names().filter(of_network).count(), count);
}

fn labelled() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let labels: Vec<String> = (0..1000).map(|index| format!("kind {index}")).collect();
    fs::write(folder.path().join("labels.txt"), labels.join("\n")).unwrap();
    folder
}

/// Writes zeros with the names and shapes of B0 as `NAME.safetensors`, with a profile.
fn write_zeros(folder: &Path, name: &str, profile: &str) {
    let metadata = BTreeMap::from([("profile".to_owned(), profile.to_owned())]);
    let path = folder.join(format!("{name}.safetensors"));
    write_safetensors(path, &zeros("b0_lukemelas", DType::F32), &metadata).unwrap();
}

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

/// Files through all schemes, each made from the one before it.
fn through_all_schemes(test: &str, variant: &str) {
    let Some((interpreter, photo)) = reference(test) else {
        return;
    };
    let home = labelled();
    let folder = home.path();
    let photo = photo.to_str().unwrap();
    python(&interpreter, folder, &["make", "lukemelas", variant, "first.pth"]);
    convert(
        folder,
        &["first.pth", "timm", "--to", "timm", "--labels", "labels.txt"],
    );
    python(
        &interpreter,
        folder,
        &["timm", "lukemelas", variant, "timm", photo],
    );
    convert(folder, &["timm", "transformers", "--to", "transformers"]);
    python(
        &interpreter,
        folder,
        &["transformers", "lukemelas", variant, "transformers", photo],
    );
    convert(folder, &["transformers", "net.weights.h5", "--to", "keras"]);
    python(
        &interpreter,
        folder,
        &["keras", "lukemelas", variant, "net.weights.h5"],
    );
    convert(
        folder,
        &["net.weights.h5", "torchvision.safetensors", "--to", "torchvision"],
    );
    python(
        &interpreter,
        folder,
        &[
            "named",
            "torchvision",
            variant,
            "torchvision.safetensors",
            "lukemelas",
        ],
    );
    convert(folder, &["torchvision.safetensors", "last.safetensors"]);
    python(
        &interpreter,
        folder,
        &["named", "lukemelas", variant, "last.safetensors"],
    );
    same_bits(
        &tensors(folder, "last.safetensors"),
        &tensors(folder, "first.pth"),
    );

    // Labels, preprocessing and profile came along.
    let last = Checkpoint::open(folder.join("last.safetensors")).unwrap();
    let of_timm = Checkpoint::open(folder.join("timm/model.safetensors")).unwrap();
    for key in ["profile", "variant", "labels"] {
        assert_eq!(last.metadata().get(key), of_timm.metadata().get(key), "{key}");
    }
    let classes = |weights: &str| {
        let arguments = [
            "classify",
            photo,
            "--weights",
            weights,
            "--format",
            "json",
            "--top-k",
            "3",
        ];
        let output = effnet(folder, &arguments);
        assert!(output.status.success(), "{weights}: {}", stderr(&output));
        let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        line["predictions"].clone()
    };
    let expected = classes("timm");
    assert!(expected[0]["label"].as_str().unwrap().starts_with("kind "));
    for weights in ["transformers", "net.weights.h5", "last.safetensors"] {
        assert_eq!(classes(weights), expected, "{weights}");
    }
}

#[test]
fn b0_goes_through_all_schemes_and_back() {
    through_all_schemes("b0_goes_through_all_schemes_and_back", "b0");
}

#[test]
fn b5_goes_through_all_schemes_and_back() {
    through_all_schemes("b5_goes_through_all_schemes_and_back", "b5");
}

/// Of Lite, EfficientNet-PyTorch and timm have networks. The others are refused by name.
#[test]
fn lite0_goes_through_the_schemes_that_have_it_and_back() {
    let test = "lite0_goes_through_the_schemes_that_have_it_and_back";
    let Some((interpreter, photo)) = reference(test) else {
        return;
    };
    let home = labelled();
    let (folder, photo) = (home.path(), photo.to_str().unwrap());
    let check = |arguments: &[&str]| python(&interpreter, folder, arguments);
    check(&["make", "lukemelas", "lite0", "first.pth"]);
    convert(
        folder,
        &["first.pth", "timm", "--to", "timm", "--labels", "labels.txt"],
    );
    check(&["timm", "lukemelas", "lite0", "timm", photo]);
    for (to, output) in [
        ("torchvision", "none.safetensors"),
        ("transformers", "none"),
        ("keras", "none.weights.h5"),
    ] {
        let words = [to, "does not have", "--to timm"];
        refused(folder, &["convert", "timm", output, "--to", to], &words);
        assert!(!folder.join(output).exists(), "{output}");
    }
    convert(folder, &["timm", "last.pth", "--to", "lukemelas"]);
    check(&["named", "lukemelas", "lite0", "last.pth"]);
    same_bits(&tensors(folder, "last.pth"), &tensors(folder, "first.pth"));
}

/// V2 has networks in timm, Keras and torchvision.
fn v2_goes_through(test: &str, variant: &str) {
    let Some((interpreter, photo)) = reference(test) else {
        return;
    };
    let home = labelled();
    let (folder, photo) = (home.path(), photo.to_str().unwrap());
    let check = |arguments: &[&str]| python(&interpreter, folder, arguments);
    check(&["make", "timm-tf", variant, "first.pth"]);
    convert(
        folder,
        &["first.pth", "timm", "--to", "timm", "--labels", "labels.txt"],
    );
    check(&["timm", "timm-tf", variant, "timm", photo]);
    let transformers = ["convert", "timm", "none", "--to", "transformers"];
    refused(
        folder,
        &transformers,
        &["transformers", "does not have", "--to timm"],
    );
    let output = effnet(folder, &["convert", "timm", "net.weights.h5", "--to", "keras"]);
    assert!(output.status.success(), "{}", stderr(&output));
    // timm's port of V2-S divides by 127.5, Keras by 128.
    let warns = stderr(&output).contains("include_preprocessing=False");
    assert_eq!(warns, variant == "v2-s", "{}", stderr(&output));
    check(&["keras", "timm-tf", variant, "net.weights.h5"]);
    convert(folder, &["net.weights.h5", "own.pth", "--to", "lukemelas"]);
    if variant == "v2-s" {
        convert(folder, &["own.pth", "torchvision.pth", "--to", "torchvision"]);
        check(&["named", "torchvision", variant, "torchvision.pth", "timm-tf"]);
        fs::rename(folder.join("torchvision.pth"), folder.join("own.pth")).unwrap();
    }
    convert(folder, &["own.pth", "last.pth", "--to", "timm"]);
    check(&["named", "timm-tf", variant, "last.pth"]);
    same_bits(&tensors(folder, "last.pth"), &tensors(folder, "first.pth"));
}

#[test]
fn v2_s_goes_through_the_schemes_that_have_it_and_back() {
    v2_goes_through("v2_s_goes_through_the_schemes_that_have_it_and_back", "v2-s");
}

#[test]
fn v2_b0_goes_through_the_schemes_that_have_it_and_back() {
    v2_goes_through("v2_b0_goes_through_the_schemes_that_have_it_and_back", "v2-b0");
}

/// torchvision's V2-S has its own padding, which is described to timm.
#[test]
fn torchvisions_v2_s_is_described_to_timm_and_refused_to_keras() {
    let test = "torchvisions_v2_s_is_described_to_timm_and_refused_to_keras";
    let Some((interpreter, photo)) = reference(test) else {
        return;
    };
    let home = labelled();
    let (folder, photo) = (home.path(), photo.to_str().unwrap());
    python(
        &interpreter,
        folder,
        &["make", "torchvision", "v2-s", "first.pth"],
    );
    convert(
        folder,
        &["first.pth", "timm", "--to", "timm", "--labels", "labels.txt"],
    );
    python(
        &interpreter,
        folder,
        &["timm", "torchvision", "v2-s", "timm", photo],
    );
    let keras = ["convert", "timm", "none.weights.h5", "--to", "keras"];
    refused(folder, &keras, &["profile tf", "profile torchvision"]);
    convert(folder, &["timm", "last.pth", "--to", "torchvision"]);
    python(
        &interpreter,
        folder,
        &["named", "torchvision", "v2-s", "last.pth"],
    );
    same_bits(&tensors(folder, "last.pth"), &tensors(folder, "first.pth"));
}

/// torchvision's B5 has the padding of one of timm's architectures and the epsilon of the other.
#[test]
fn torchvisions_b5_is_described_to_timm_and_refused_to_the_others() {
    let test = "torchvisions_b5_is_described_to_timm_and_refused_to_the_others";
    let Some((interpreter, photo)) = reference(test) else {
        return;
    };
    let home = labelled();
    let folder = home.path();
    python(&interpreter, folder, &["make", "torchvision", "b5", "first.pth"]);
    convert(
        folder,
        &[
            "first.pth",
            "tv.safetensors",
            "--to",
            "torchvision",
            "--profile",
            "torchvision",
        ],
    );
    convert(
        folder,
        &["tv.safetensors", "timm", "--to", "timm", "--labels", "labels.txt"],
    );
    python(
        &interpreter,
        folder,
        &["timm", "torchvision", "b5", "timm", photo.to_str().unwrap()],
    );
    let config = fs::read_to_string(folder.join("timm/config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["model_args"], serde_json::json!({"bn_eps": 1e-3}));
    for (output, to) in [("transformers", "transformers"), ("net.weights.h5", "keras")] {
        let words = ["profile tf", "profile torchvision"];
        refused(folder, &["convert", "timm", output, "--to", to], &words);
        assert!(!folder.join(output).exists(), "{output}");
    }
}

#[test]
fn a_folder_of_transformers_gives_its_own_probabilities() {
    let Some((interpreter, photo)) = reference("a_folder_of_transformers_gives_its_own_probabilities") else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let (folder, photo) = (home.path(), photo.to_str().unwrap());
    python(&interpreter, folder, &["save-transformers", "b0", "saved"]);
    let printed = python(&interpreter, folder, &["classify-transformers", "saved", photo]);
    let expected: Vec<(String, f64)> = serde_json::from_str(&printed).unwrap();
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

/// Reads every file that Keras writes for the network, and checks the normalisation and the tensors.
fn files_of_keras(test: &str, (model, variant): (&str, &str), (mean, std): (&str, &str)) {
    let Some((interpreter, _)) = reference(test) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    python(&interpreter, folder, &["make", model, variant, "first.pth"]);
    fs::create_dir(folder.join("keras")).unwrap();
    python(&interpreter, folder, &["save-keras", model, variant, "keras"]);
    convert(folder, &["first.pth", "expected.pth", "--to", "lukemelas"]);
    let expected = tensors(folder, "expected.pth");
    let mut files: Vec<_> = fs::read_dir(folder.join("keras"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert_eq!(files.len(), 7);
    for file in files {
        let back = ["back.safetensors", "--to", "lukemelas", "--force"];
        convert(folder, &[&[file.to_str().unwrap()], &back[..]].concat());
        same_bits(&tensors(folder, "back.safetensors"), &expected);
        let back = Checkpoint::open(folder.join("back.safetensors")).unwrap();
        let stated = |key: &str| back.metadata().get(key).map(String::as_str);
        assert_eq!(stated("variant"), Some(variant), "{}", file.display());
        assert_eq!(stated("mean"), Some(mean), "{}", file.display());
        assert_eq!(stated("std"), Some(std), "{}", file.display());
        assert_eq!(stated("profile"), Some("tf"), "{}", file.display());
    }
}

const IMAGENET: (&str, &str) = ("[0.485,0.456,0.406]", "[0.229,0.224,0.225]");

#[test]
fn every_file_that_keras_writes_has_the_same_tensors() {
    let test = "every_file_that_keras_writes_has_the_same_tensors";
    files_of_keras(test, ("lukemelas", "b0"), IMAGENET);
}

#[test]
fn every_file_of_v2_b0_that_keras_writes_has_the_same_tensors() {
    let test = "every_file_of_v2_b0_that_keras_writes_has_the_same_tensors";
    files_of_keras(test, ("timm-tf", "v2-b0"), IMAGENET);
}

/// It rescales by 1 / 128 and subtracts 1, which no file says.
#[test]
fn every_file_of_v2_s_that_keras_writes_has_the_same_tensors() {
    let test = "every_file_of_v2_s_that_keras_writes_has_the_same_tensors";
    let rescaling = "[0.5019607843137255,0.5019607843137255,0.5019607843137255]";
    files_of_keras(test, ("timm-tf", "v2-s"), (rescaling, rescaling));
}
