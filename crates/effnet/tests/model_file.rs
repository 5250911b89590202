//! Tests what [`ModelFile`] reads from a file and from its folder.
#![allow(clippy::unwrap_used, reason = "a test may panic if its own files are broken")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use effnet::{Error, ModelFile, ModelOptions, Profile, ProfileSource, StateDict, Weights, WeightsContent};
use effnet_checkpoint::write_safetensors;
use support::{b0, listed};

/// Writes a state dict into a folder, as weights without an entry in the manifest.
fn weights(folder: &Path, state_dict: &StateDict) -> Weights {
    let path = folder.join("model.safetensors");
    write_safetensors(&path, state_dict, &BTreeMap::new()).unwrap();
    Weights {
        name: "model".to_owned(),
        content: WeightsContent::File(path),
        entry: None,
    }
}

fn inspect(weights: &Weights) -> Result<ModelFile, Error> {
    ModelFile::inspect(weights.clone(), &ModelOptions::default())
}

#[test]
fn a_checkpoint_that_is_open_is_not_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let weights = weights(folder.path(), &b0("torchvision"));
    let checkpoint = weights.open_network(None).unwrap();
    let expected = inspect(&weights).unwrap();
    fs::remove_file(weights.path()).unwrap();
    let file = ModelFile::from_checkpoint(weights, checkpoint, &ModelOptions::default()).unwrap();
    assert_eq!(file.variant, expected.variant);
    assert_eq!(file.profile, expected.profile);
    assert_eq!(file.num_classes(), 1000);
}

#[test]
fn arguments_of_timm_beside_a_file_settle_its_profile() {
    let folder = tempfile::tempdir().unwrap();
    let weights = weights(folder.path(), &b0("timm"));
    let profile_with = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        let file = inspect(&weights);
        fs::remove_file(folder.path().join(name)).unwrap();
        file.map(|file| (file.profile, file.profile_source))
    };
    let (stated, guess) = (ProfileSource::Stated, ProfileSource::Guess);
    for (name, text, expected) in [
        (
            "config.json",
            r#"{"architecture": "efficientnet_b0", "model_args": {"pad_type": "same", "bn_eps": 0.001, "bn_momentum": 0.01}}"#,
            (Profile::Tf, stated),
        ),
        (
            "config.json",
            r#"{"architecture": "efficientnet_b0", "model_args": {"bn_eps": 0.001}}"#,
            (Profile::Torchvision, stated),
        ),
        (
            "config.json",
            r#"{"architecture": "tf_efficientnet_b0", "model_args": {"drop_rate": 0.3}}"#,
            (Profile::Tf, stated),
        ),
        ("config.json", r#"{"model_args": null}"#, (Profile::Timm, guess)),
        (
            "args.yaml",
            "model: efficientnet_b0\nbn_eps: null\nmodel_kwargs:\n  pad_type: 'same'\n  bn_eps: 0.001\n",
            (Profile::Tf, stated),
        ),
    ] {
        assert_eq!(profile_with(name, text).unwrap(), expected, "{text}");
    }
    let text = r#"{"architecture": "efficientnet_b0", "model_args": {"pad_type": "same"}}"#;
    let error = profile_with("config.json", text).unwrap_err();
    assert!(matches!(error, Error::UnknownProfile { .. }), "{error}");
    let message = error.to_string();
    assert!(
        message.contains("`same` padding")
            && message.contains("epsilon of 1e-5")
            && message.contains("--profile"),
        "{message}"
    );
    fs::write(folder.path().join("config.json"), text).unwrap();
    let options = ModelOptions::default().with_profile(Some(Profile::Tf));
    let file = ModelFile::inspect(weights.clone(), &options).unwrap();
    assert_eq!(file.profile, Profile::Tf);
}

#[test]
fn a_pruned_network_is_refused_by_that_name() {
    let folder = tempfile::tempdir().unwrap();
    let weights = weights(folder.path(), &listed("b1_pruned_timm"));
    for variant in [None, Some(effnet::Variant::B1)] {
        let options = ModelOptions::default().with_variant(variant);
        let error = ModelFile::inspect(weights.clone(), &options).unwrap_err();
        assert!(matches!(error, Error::Pruned { .. }), "{error}");
        assert!(error.to_string().contains("was pruned"), "{error}");
    }
}
