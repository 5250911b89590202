//! Files that are not checkpoints are rejected with a message that says what they are and what to do.
#![allow(clippy::unwrap_used, reason = "a test may panic if its own files are broken")]

mod support;

use std::io::Write;

use effnet_checkpoint::{Checkpoint, ErrorKind, OpenOptions};
use support::fixture;

/// Returns the message for a file with these bytes.
fn refusal(bytes: &[u8]) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let error = Checkpoint::open(file.path()).unwrap_err();
    assert_eq!(error.path(), file.path());
    let message = error.to_string();
    assert!(message.starts_with(file.path().to_str().unwrap()), "{message}");
    message
}

/// A stream of `torch.save` around a pickled object.
fn stream(object: &[u8]) -> Vec<u8> {
    let head = std::fs::read(fixture("legacy_views.pth")).unwrap();
    // Magic number, version, system description: three pickles, each with its STOP.
    let description = head
        .windows(6)
        .position(|window| window == b"\x80\x02}q\0(")
        .unwrap();
    let stop = head[description..]
        .windows(2)
        .position(|window| window == b"u.")
        .unwrap();
    [&head[..description + stop + 2], object, b"\x80\x02]."].concat()
}

#[test]
fn files_of_other_kinds_are_named() {
    let cases: [(&[u8], &str, &str); 15] = [
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "git-LFS pointer",
            "git lfs pull",
        ),
        (b"<!DOCTYPE html><html>", "HTML", "browser"),
        (b"\n <html>", "HTML", "browser"),
        (b"{\"error\": \"not found\"}", "JSON", "browser"),
        (b"\x89HDF\r\n\x1a\n....", "HDF5", "with Keras"),
        (b"\x1f\x8b\x08\0", "gzip", "unpack"),
        (b"7z\xbc\xaf\x27\x1c", "7-Zip", "unpack"),
        (b"\x93NUMPY\x01\0", "NumPy", "export"),
        (b"\x08\x08\x12\x07pytorch", "ONNX", "export"),
        (b"\x1c\0\0\0TFL3", "TensorFlow Lite", "export"),
        (
            b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            "without entries",
            "again",
        ),
        (
            b"\x80\x04\x95\x05\0\0\0\0\0\0\0}.",
            "plain Python pickle",
            "torch.save",
        ),
        (b"\xff\xd8\xff\xe0", "JPEG", "weights file"),
        (b"GGUF\x03\0\0\0", "GGUF", "export"),
        (b"random words", "not a checkpoint", "72 61 6e 64"),
    ];
    for (bytes, what, advice) in cases {
        let message = refusal(bytes);
        assert!(message.contains(what) && message.contains(advice), "{message}");
    }
}

#[test]
fn an_hdf5_file_that_h5py_does_not_write_by_default_is_refused_by_what_it_has() {
    let message = refusal(&std::fs::read(fixture("bad_dense_links.h5")).unwrap());
    assert!(
        message.contains("fractal heap") && message.contains("default settings"),
        "{message}"
    );
}

#[test]
fn what_is_not_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &std::path::Path| Checkpoint::open(path).unwrap_err();
    assert!(matches!(open(folder.path()).kind(), ErrorKind::Folder));
    assert!(matches!(
        open(&folder.path().join("none.pth")).kind(),
        ErrorKind::NotFound
    ));
    assert!(refusal(b"").contains("empty"));
    #[cfg(unix)]
    assert!(matches!(
        open(std::path::Path::new("/dev/null")).kind(),
        ErrorKind::NotRegular
    ));
}

#[test]
fn a_torchscript_archive_is_refused_by_name() {
    let error = Checkpoint::open(fixture("bad_torchscript.pt")).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TorchScript { .. }));
    assert!(
        error.to_string().contains("save the state_dict instead"),
        "{error}"
    );
}

#[test]
fn a_list_of_several_networks_is_refused_with_their_numbers() {
    for anchors in [&[][..], &["conv.weight"]] {
        let options = OpenOptions::default().with_anchors(anchors);
        let error = options.open(fixture("bad_list_of_two.pth")).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("2 networks; pass --key with one of `0`, `1`"),
            "{error}"
        );
        let error = options.open(fixture("bad_list_of_tensors.pth")).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("no element of the saved list is a state_dict"),
            "{error}"
        );
    }
}

#[test]
fn an_archive_with_one_name_twice_is_refused() {
    let error = Checkpoint::open(fixture("bad_duplicate.pth")).unwrap_err();
    assert!(
        error.to_string().contains("two entries named `zip_flat/data/0`"),
        "{error}"
    );
}

#[test]
fn a_big_endian_stream_is_refused() {
    let error = Checkpoint::open(fixture("bad_big_endian_legacy.pth")).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::BigEndian));
}

#[test]
fn a_pickle_that_would_run_a_command_is_not_run_and_says_so() {
    let proof = tempfile::tempdir().unwrap();
    let target = proof.path().join("ran");
    let command = format!("cposix\nsystem\n(S'touch {}'\ntR.", target.display());
    let message = refusal(&stream(command.as_bytes()));
    assert!(
        message.contains("no tensors found") && message.contains("`posix.system`"),
        "{message}"
    );
    assert!(!target.exists());
}

#[test]
fn tensors_beside_a_command_are_read_and_the_command_is_left_out() {
    let bytes = std::fs::read(fixture("legacy_python2.pth")).unwrap();
    let at = bytes
        .windows(10)
        .position(|window| window == b"T\x05\0\0\0epoch")
        .unwrap();
    // Replaces the number 9 after the key `epoch`.
    let call = b"cos\nsystem\nU\x04true\x85R";
    let evil = [&bytes[..at + 10], &call[..], &bytes[at + 12..]].concat();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&evil).unwrap();
    let checkpoint = Checkpoint::open(file.path()).unwrap();
    assert_eq!(
        (checkpoint.state_dict().len(), checkpoint.left_out()),
        (1, &["epoch".to_owned()][..])
    );
}

#[test]
fn an_object_without_tensors_says_what_it_is() {
    assert!(refusal(&stream(b"\x80\x02}X\x05\0\0\0epochK\x01s.")).contains("the saved dict has `epoch`"));
    assert!(refusal(&stream(b"\x80\x02K\x01.")).contains("not a dict or module"));
}

#[test]
fn a_stream_of_another_version_is_refused() {
    let mut bytes = stream(b"\x80\x02N.");
    let version = bytes
        .windows(3)
        .position(|window| window == b"M\xe9\x03")
        .unwrap();
    bytes[version + 1] = 0;
    assert!(refusal(&bytes).contains("1001"));
}
