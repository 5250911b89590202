//! This crate reads the same tensors as `torch.load`.
#![allow(clippy::unwrap_used, reason = "a test may panic if its own files are broken")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use effnet_checkpoint::{
    Checkpoint, DType, ErrorKind, StateDict, WriteOptions, write_pth, write_safetensors,
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use support::{fixture, reference_python, run_script, wild_checkpoints};

/// Returns what `torch.load` reports about each file.
fn torch_load(
    flags: &[&str],
    python: &mut std::process::Command,
    files: &[PathBuf],
) -> BTreeMap<PathBuf, Value> {
    let flags = flags.iter().map(Path::new);
    let paths: Vec<&Path> = flags.chain(files.iter().map(PathBuf::as_path)).collect();
    let printed = run_script(python, "checkpoint_dump.py", &paths);
    let answers = printed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    answers
        .map(|answer| (PathBuf::from(answer["file"].as_str().unwrap()), answer))
        .collect()
}

fn torch_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F64 => "float64",
        DType::F32 => "float32",
        DType::F16 => "float16",
        DType::BF16 => "bfloat16",
        DType::I64 => "int64",
        DType::I32 => "int32",
        DType::I16 => "int16",
        DType::I8 => "int8",
        DType::U8 => "uint8",
        DType::U16 => "uint16",
        DType::U32 => "uint32",
        DType::U64 => "uint64",
        DType::Bool => "bool",
        other => panic!("{other} is not expected here"),
    }
}

/// Compares every tensor with the one that `torch.load` has under the same name.
fn assert_same(checkpoint: &Checkpoint, answer: &Value) {
    let file = checkpoint.path().display();
    let theirs = answer["tensors"]
        .as_object()
        .unwrap_or_else(|| panic!("{file}: {answer}"));
    let wrapper = checkpoint
        .wrapper()
        .map(|wrapper| format!("{wrapper}."))
        .unwrap_or_default();
    for (name, tensor) in checkpoint.state_dict() {
        let full = format!("{wrapper}{}{name}", checkpoint.prefix());
        let digest = format!("{:x}", Sha256::digest(tensor.bytes().unwrap()));
        let ours = serde_json::json!([torch_name(tensor.dtype()), tensor.shape(), digest]);
        assert_eq!(theirs.get(&full), Some(&ours), "{file}: {full}");
    }
    let elsewhere = |name: &&String| {
        let part = |key: &String| name.starts_with(&format!("{key}."));
        !checkpoint.left_out().iter().any(part)
    };
    assert_eq!(
        theirs.keys().filter(elsewhere).count(),
        checkpoint.state_dict().len(),
        "{file}"
    );
}

#[test]
fn every_wild_checkpoint_is_read_as_torch_load_reads_it() {
    let test = "every_wild_checkpoint_is_read_as_torch_load_reads_it";
    let (Some(folder), Some(mut python)) = (wild_checkpoints(test), reference_python(test)) else {
        return;
    };
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_checkpoint = |path: &PathBuf| {
        path.extension()
            .is_some_and(|ending| ending != "md" && ending != "txt")
    };
    let files: Vec<PathBuf> = files.filter(is_checkpoint).collect();
    let answers = torch_load(&[], &mut python, &files);
    let mut compared = 0;
    for (path, answer) in &answers {
        match Checkpoint::open(path) {
            Ok(checkpoint) if answer["error"].is_null() => {
                assert_same(&checkpoint, answer);
                compared += 1;
            }
            // `torch.load` requires a member `tensors`, which this file does not have.
            Ok(checkpoint) => {
                assert!(path.ends_with("pre-0.2-tar.tar"), "{}: {answer}", path.display());
                let tensor = checkpoint.state_dict().get("tensor").unwrap().clone();
                let values: Vec<f32> = tensor
                    .bytes()
                    .unwrap()
                    .chunks(4)
                    .map(|raw| f32::from_le_bytes(raw.try_into().unwrap()))
                    .collect();
                assert_eq!(values, [1.0, 2.5, -3.7, 0.0]);
            }
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::TorchScript { .. }), "{error}");
                assert!(path.ends_with("torchscript.pt"), "{error}");
            }
        }
    }
    assert!(
        compared >= 8,
        "only {compared} of {} files were compared",
        answers.len()
    );
}

#[test]
fn torch_load_with_weights_only_reads_what_is_written_here() {
    let test = "torch_load_with_weights_only_reads_what_is_written_here";
    let Some(mut python) = reference_python(test) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for name in [
        "zip_flat.pth",
        "zip_dtypes.pth",
        "zip_strides.pth",
        "zip_big_endian.pth",
    ] {
        let state_dict = Checkpoint::open(fixture(name)).unwrap().into_state_dict();
        let pth = folder.path().join(name);
        write_pth(&pth, &state_dict).unwrap();
        let safetensors = pth.with_extension("safetensors");
        write_safetensors(&safetensors, &state_dict, &BTreeMap::new()).unwrap();
        files.extend([pth, safetensors]);
    }
    let floats = |(_, tensor): &(String, effnet_checkpoint::Tensor)| tensor.dtype().is_float();
    let state_dict = Checkpoint::open(fixture("zip_dtypes.pth"))
        .unwrap()
        .into_state_dict();
    let state_dict: StateDict = state_dict.into_iter().filter(floats).collect();
    for (dtype, name) in [(DType::BF16, "short.pth"), (DType::F16, "half.safetensors")] {
        let path = folder.path().join(name);
        WriteOptions::default()
            .with_float_dtype(dtype)
            .write(&path, &state_dict)
            .unwrap();
        files.push(path);
    }
    let answers = torch_load(&["--weights-only"], &mut python, &files);
    assert_eq!(answers.len(), files.len());
    for (path, answer) in &answers {
        assert_same(&Checkpoint::open(path).unwrap(), answer);
    }
}
