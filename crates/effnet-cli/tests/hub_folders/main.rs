//! Takes weights through every naming scheme and back, and asks each library what it computes with them.

#![allow(clippy::unwrap_used, reason = "a test may panic if its own files are broken")]

mod folders;
mod keras_files;
mod schemes;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use effnet_checkpoint::{Checkpoint, DType, StateDict, write_safetensors};
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::{Python, shared_data, skip, zeros};

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

/// One for all tests.
static PYTHON: LazyLock<Result<Python, String>> = LazyLock::new(|| Python::start("hub_folders.py"));

/// A photo, if there is Python with the libraries. `None` after reporting why the test is skipped.
fn reference(test: &str) -> Option<PathBuf> {
    let found = shared_data().and_then(|data| PYTHON.as_ref().map(|_| data).map_err(Clone::clone));
    let data = found.map_err(|reason| skip(test, &reason)).ok()?;
    Some(data.join("images/panda.jpg"))
}

/// Runs a task of `hub_folders.py` and returns what it returns.
#[track_caller]
fn python(folder: &Path, task: &[&str]) -> Value {
    let answer = PYTHON
        .as_ref()
        .unwrap()
        .ask(&json!({"request": "run", "folder": folder, "task": task}));
    answer["returned"].clone()
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
