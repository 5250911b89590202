//! Tests what [`ModelFile`] reads from a file and from its folder.
#![allow(clippy::unwrap_used, reason = "a test may panic if its own files are broken")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use effnet::{Error, ModelFile, ModelOptions, StateDict, Weights, WeightsContent};
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
