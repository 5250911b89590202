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
fn env_names_versions_and_devices() {
    let run = finish(effnet().args(["env", "--format", "json"]));
    let environment: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(environment["libtorch"], "2.11.0");
    assert!(environment["cores"].as_u64().unwrap() >= 1);
}
