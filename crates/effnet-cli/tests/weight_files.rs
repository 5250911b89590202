//! Calls `effnet` on weight files that people bring: what it says about files that it cannot run, and which numbers of
//! labels it accepts.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use effnet_checkpoint::{DType, write_safetensors};
use test_support::zeros;

/// Writes zeros with the names and shapes of a committed list as `NAME.safetensors`.
fn weights(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(format!("{name}.safetensors"));
    write_safetensors(&path, &zeros(name, DType::F16), &BTreeMap::new()).unwrap();
    path
}

fn effnet(arguments: &[&str], path: &Path) -> Output {
    let mut call = Command::new(env!("CARGO_BIN_EXE_effnet"));
    call.args(arguments).arg(path).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn relatives_and_pruned_networks_are_named_by_inspect_and_refused_by_convert() {
    let folder = tempfile::tempdir().unwrap();
    for (name, words) in [
        ("cc_b0_4e_timm", "an EfficientNet-CondConv"),
        ("x_b3_timm", "an EfficientNet-X"),
        ("b1_pruned_timm", "was pruned"),
    ] {
        let path = weights(folder.path(), name);
        let inspected = effnet(&["inspect"], &path);
        assert!(inspected.status.success(), "{name}: {}", stderr(&inspected));
        assert_eq!(
            stderr(&inspected).matches(words).count(),
            1,
            "{}",
            stderr(&inspected)
        );
        let output = folder.path().join("out.safetensors");
        let converted = effnet(
            &["convert", "--to", "torchvision", path.to_str().unwrap()],
            &output,
        );
        if name == "b1_pruned_timm" {
            // Names can be converted without a network.
            assert!(converted.status.success(), "{}", stderr(&converted));
            assert!(stderr(&converted).contains("only the names are converted"));
        } else {
            assert_eq!(converted.status.code(), Some(2), "{name}");
            assert!(stderr(&converted).contains(words), "{}", stderr(&converted));
        }
    }
}

#[test]
fn labels_for_another_number_of_classes_are_refused_in_the_same_words_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = weights(folder.path(), "b0_timm");
    let labels = folder.path().join("names.txt");
    fs::write(&labels, "cat\ndog\n").unwrap();
    let labels = labels.to_str().unwrap();
    let expected = format!("--labels {labels}: found 2 names, but the weights have 1000 classes");
    let output = folder.path().join("out.safetensors");
    let ship = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ship.png");
    for call in [
        effnet(&["convert", "--labels", labels, path.to_str().unwrap()], &output),
        effnet(
            &[
                "classify",
                "--labels",
                labels,
                ship.to_str().unwrap(),
                "--weights",
            ],
            &path,
        ),
    ] {
        assert_eq!(call.status.code(), Some(2));
        assert!(stderr(&call).contains(&expected), "{}", stderr(&call));
    }
    assert!(!output.exists());
}
