//! `effnet inspect` and `effnet env`.

use effnet_core::Variant;
use effnet_tests::{effnet, finish};
use serde_json::Value;

use super::weights;

#[test]
fn inspect_tells_the_variant_the_classes_and_every_tensor() {
    let run = finish(
        effnet()
            .arg("inspect")
            .arg(weights(Variant::B0, 7))
            .args(["--format", "json"]),
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let description: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(description["variant"], "b0");
    assert_eq!(description["scheme"], "lukemelas");
    assert_eq!(description["profile"], "tf");
    assert_eq!(description["classes"], 7);
    assert_eq!(description["tensors"].as_array().unwrap().len(), 360);
}

#[test]
fn inspect_describes_files_of_other_networks_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.safetensors");
    let store = tch::nn::VarStore::new(tch::Device::Cpu);
    let _ = store.root().zeros("weight", &[2, 3]);
    store.save(&path).unwrap();
    let run = finish(effnet().arg("inspect").arg(&path));
    assert_eq!(run.code, Some(0));
    assert!(
        run.stdout.contains("1 tensor (--tensors lists them)"),
        "{}",
        run.stdout
    );
    let run = finish(effnet().arg("inspect").arg(&path).arg("--tensors"));
    assert!(
        run.stdout.contains("weight") && run.stdout.contains("[2, 3]"),
        "{}",
        run.stdout
    );
    assert!(
        run.stderr.contains("match no known EfficientNet"),
        "{}",
        run.stderr
    );
}

#[test]
fn what_a_file_says_of_itself_is_escaped_and_short() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.safetensors");
    let header = serde_json::json!({
        "__metadata__": {"a\u{1b}]0;title": "x".repeat(5000), "mean": "[0.48500001430511475, 0.5]"},
        "w\u{1b}[2J\rerror: forged": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
    })
    .to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend([0; 4]);
    std::fs::write(&path, bytes).unwrap();
    let run = finish(effnet().arg("inspect").arg(&path).arg("--tensors"));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let is_plain = |c: char| !c.is_control() || c == '\n';
    assert!(run.stdout.chars().all(is_plain), "{}", run.stdout);
    assert!(
        run.stdout.contains("w\\u{1b}[2J\\rerror: forged"),
        "{}",
        run.stdout
    );
    assert!(run.stdout.contains("mean = [0.485, 0.5]"), "{}", run.stdout);
    assert!(run.stdout.contains("(5000 characters)"), "{}", run.stdout);
    assert!(run.stdout.lines().all(|line| line.len() < 400), "{}", run.stdout);
}

#[test]
fn env_names_versions_and_devices() {
    let run = finish(effnet().args(["env", "--format", "json"]));
    let environment: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(environment["libtorch"], "2.11.0");
    assert!(environment["cores"].as_u64().unwrap() >= 1);
}
