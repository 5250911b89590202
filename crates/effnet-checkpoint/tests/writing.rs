//! Whatever is written is read back, and a failed write changes nothing.
#![allow(clippy::unwrap_used, reason = "a test may panic if its own files are broken")]

mod support;

use std::collections::BTreeMap;

use effnet_checkpoint::{
    Checkpoint, Container, DType, StateDict, Tensor, WriteError, WriteOptions, write_pth, write_safetensors,
};
use support::fixture;

fn every_dtype() -> StateDict {
    Checkpoint::open(fixture("zip_dtypes.pth"))
        .unwrap()
        .into_state_dict()
}

fn assert_same(ours: &StateDict, wanted: &StateDict) {
    assert_eq!(ours.len(), wanted.len());
    for (name, tensor) in wanted {
        let read = ours.get(name).unwrap();
        assert_eq!(
            (read.dtype(), read.shape()),
            (tensor.dtype(), tensor.shape()),
            "{name}"
        );
        assert_eq!(read.bytes().unwrap(), tensor.bytes().unwrap(), "{name}");
    }
}

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "zip_dtypes.pth",
        "zip_strides.pth",
        "zip_big_endian.pth",
        "zip_deflated_deeper.pth",
    ] {
        let state_dict = Checkpoint::open(fixture(name)).unwrap().into_state_dict();
        for out in ["out.pth", "out.pt", "out.safetensors"] {
            let path = folder.path().join(out);
            let container = WriteOptions::default().write(&path, &state_dict).unwrap();
            let read = Checkpoint::open(&path).unwrap();
            assert_eq!(read.container(), container);
            assert_same(read.state_dict(), &state_dict);
        }
    }
}

#[test]
fn an_archive_keeps_the_order_of_the_names_and_aligns_the_tensors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.pth");
    write_pth(&path, &every_dtype()).unwrap();
    assert!(
        Checkpoint::open(&path)
            .unwrap()
            .state_dict()
            .names()
            .eq(every_dtype().names())
    );
    let bytes = std::fs::read(&path).unwrap();
    let data = every_dtype().get("f64").unwrap().bytes().unwrap().into_owned();
    let at = bytes
        .windows(data.len())
        .position(|window| window == data)
        .unwrap();
    assert_eq!(at % 64, 0);
}

#[test]
fn the_same_tensors_give_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["out.pth", "out.safetensors"] {
        let written = [0, 1].map(|_| {
            let path = folder.path().join(name);
            WriteOptions::default().write(&path, &every_dtype()).unwrap();
            std::fs::read(path).unwrap()
        });
        assert_eq!(written[0], written[1]);
    }
}

#[test]
fn metadata_is_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.safetensors");
    let metadata = BTreeMap::from([("effnet.classes".to_owned(), "[\"c\u{e4}t\", \"dog\"]".to_owned())]);
    write_safetensors(&path, &every_dtype(), &metadata).unwrap();
    let read = Checkpoint::open(&path).unwrap();
    assert_eq!(read.metadata()["effnet.classes"], metadata["effnet.classes"]);
    assert_eq!(read.metadata()["format"], "pt");
}

#[test]
fn only_floats_are_cast() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["out.pth", "out.safetensors"] {
        let path = folder.path().join(name);
        WriteOptions::default()
            .with_float_dtype(DType::BF16)
            .write(&path, &every_dtype())
            .unwrap();
        for (name, tensor) in Checkpoint::open(&path).unwrap().state_dict() {
            let before = every_dtype().get(name).unwrap().dtype();
            let wanted = if before.is_float() { DType::BF16 } else { before };
            assert_eq!(tensor.dtype(), wanted, "{name}");
        }
    }
}

#[test]
fn a_checkpoint_may_be_written_over_the_file_it_was_read_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("same.pth");
    std::fs::copy(fixture("zip_flat.pth"), &path).unwrap();
    let state_dict = Checkpoint::open(&path).unwrap().into_state_dict();
    write_pth(&path, &state_dict).unwrap();
    assert_same(Checkpoint::open(&path).unwrap().state_dict(), &state_dict);
}

#[test]
fn a_write_that_fails_leaves_the_old_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let odd = Checkpoint::open(fixture("odd_kinds.pth"))
        .unwrap()
        .into_state_dict();
    let huge = Tensor::from_bytes(DType::F32, [1], 1e20f32.to_le_bytes().to_vec()).unwrap();
    let huge: StateDict = [("weight", huge)].into_iter().collect();
    for name in ["out.pth", "out.safetensors"] {
        let path = folder.path().join(name);
        std::fs::write(&path, b"old").unwrap();
        let error = WriteOptions::default().write(&path, &odd).unwrap_err();
        assert!(
            matches!(&error, WriteError::Tensor { name, .. } if name == "complex"),
            "{error}"
        );
        let error = WriteOptions::default()
            .with_float_dtype(DType::F16)
            .write(&path, &huge)
            .unwrap_err();
        assert!(error.to_string().contains("out of range for f16"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn a_name_without_a_known_extension_and_a_missing_folder_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str| WriteOptions::default().write(folder.path().join(name), &every_dtype());
    assert!(matches!(write("weights.bin"), Err(WriteError::Extension { .. })));
    assert!(matches!(write("none/weights.pth"), Err(WriteError::Io { .. })));
    assert_eq!(write("UPPER.PTH").unwrap(), Container::Zip);
}
