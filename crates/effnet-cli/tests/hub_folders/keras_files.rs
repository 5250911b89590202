//! Files that Keras itself writes, in every layout.

use std::fs;

use effnet_checkpoint::Checkpoint;

use crate::{convert, python, reference, same_bits, tensors};

/// Reads every file that Keras writes for the network, and checks the normalisation and the tensors.
fn files_of_keras(test: &str, (model, variant): (&str, &str), (mean, std): (&str, &str)) {
    if reference(test).is_none() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    python(folder, &["make", model, variant, "first.pth"]);
    fs::create_dir(folder.join("keras")).unwrap();
    python(folder, &["save-keras", model, variant, "keras"]);
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
