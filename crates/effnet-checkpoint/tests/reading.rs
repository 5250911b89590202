//! Every container, wrapper, prefix, dtype and stride yields the tensors that PyTorch reads.
#![allow(clippy::unwrap_used, reason = "a test may panic if its own files are broken")]

mod support;

use std::fmt::Write as _;

use effnet_checkpoint::{Checkpoint, Container, ErrorKind, OpenOptions, TensorError};
use serde_json::Value;
use support::fixture;

fn expected(name: &str) -> Value {
    let text = std::fs::read_to_string(fixture("expected.json")).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    all[name].clone()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn texts(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect()
}

/// Reads a fixture and compares everything with what the script recorded.
fn assert_reads(name: &str) {
    let expected = expected(name);
    let checkpoint = Checkpoint::open(fixture(name)).unwrap();
    let container = match checkpoint.container() {
        Container::Zip => "zip",
        Container::LegacyStream => "legacy",
        Container::Tar => "tar",
        Container::Hdf5 => "hdf5",
        Container::Keras => "keras",
        _ => "safetensors",
    };
    assert_eq!(container, expected["container"], "{name}");
    assert_eq!(checkpoint.wrapper(), expected["wrapper"].as_str(), "{name}");
    assert_eq!(checkpoint.prefix(), expected["prefix"], "{name}");
    assert_eq!(checkpoint.is_whole_module(), expected["whole_module"], "{name}");
    assert_eq!(checkpoint.left_out(), texts(&expected["left_out"]), "{name}");

    let refused = texts(&expected["refused"]);
    let tensors = expected["tensors"].as_array().unwrap();
    let state_dict = checkpoint.state_dict();
    assert_eq!(state_dict.len(), tensors.len() + refused.len(), "{name}");
    for pair in tensors {
        let (key, facts) = (pair[0].as_str().unwrap(), &pair[1]);
        let tensor = state_dict
            .get(key)
            .unwrap_or_else(|| panic!("{name}: {key} is missing"));
        let shape: Vec<u64> = tensor.shape().iter().map(|&size| size as u64).collect();
        assert_eq!(serde_json::json!(shape), facts["shape"], "{name}: {key}");
        assert_eq!(tensor.dtype().name(), facts["dtype"], "{name}: {key}");
        assert_eq!(hex(&tensor.bytes().unwrap()), facts["bytes"], "{name}: {key}");
    }
    if container != "safetensors" {
        let order: Vec<&str> = tensors.iter().map(|pair| pair[0].as_str().unwrap()).collect();
        assert_eq!(
            state_dict.names().take(order.len()).collect::<Vec<_>>(),
            order,
            "{name}"
        );
    }
}

macro_rules! reads {
    ($($claim:ident: $($name:literal),+;)+) => {$(
        #[test]
        fn $claim() {
            $(assert_reads($name);)+
        }
    )+};
}

reads! {
    a_zip_archive_is_read: "zip_flat.pth";
    a_zip_archive_of_pickle_protocol_4_is_read: "zip_protocol4.pth";
    a_zip_archive_without_byteorder_and_version_is_read: "zip_old.pth";
    a_zip_archive_packed_again_by_hand_is_read: "zip_deflated_deeper.pth";
    a_big_endian_zip_archive_is_swapped: "zip_big_endian.pth";
    a_stream_of_every_pickle_protocol_is_read: "legacy_protocol1.pth", "legacy_protocol2.pth",
        "legacy_protocol3.pth", "legacy_protocol4.pth", "legacy_protocol5.pth";
    a_stream_with_views_of_storages_is_read: "legacy_views.pth";
    a_stream_written_by_python_2_is_read: "legacy_python2.pth";
    a_tar_archive_is_read: "tar.pth";
    a_safetensors_file_is_read: "flat.safetensors";
    an_hdf5_file_of_keras_is_read: "keras_named.h5", "keras_numbered.weights.h5", "keras_latest.h5";
    a_keras_archive_is_read: "keras.keras", "keras_deflated.keras";
    every_dtype_is_read: "zip_dtypes.pth", "legacy_dtypes.pth", "dtypes.safetensors";
    views_come_out_row_major: "zip_strides.pth", "legacy_strides.pth";
    a_whole_module_is_read_without_its_transient_buffers: "zip_whole_module.pth", "legacy_whole_module.pth";
    a_module_in_data_parallel_loses_the_prefix: "zip_parallel_module.pth";
    a_module_in_a_wrapper_is_read: "wrapped_module.pth";
    averaged_parameters_come_first: "wrapped_average.pth";
    an_empty_wrapper_is_passed_over: "wrapped_empty_average.pth";
    a_lightning_checkpoint_is_read: "wrapped_lightning.pth";
    prefixes_are_stripped_repeatedly: "prefixed_twice.pth";
    a_prefix_that_some_names_lack_stays: "prefixed_partly.pth";
    what_is_no_tensor_is_left_out_by_name: "flat_with_extras.pth";
    tensors_of_unsupported_kinds_are_listed: "odd_kinds.pth";
    the_only_state_dict_of_a_list_is_read: "wrapped_list.pth", "wrapped_tuple.pth";
    an_optimizer_with_unsupported_kinds_is_no_obstacle: "odd_optimizer.pth";
}

#[test]
fn the_bytes_of_an_unsupported_tensor_are_refused_by_name_and_kind() {
    let path = fixture("odd_kinds.pth");
    let checkpoint = Checkpoint::open(&path).unwrap();
    for (name, kind) in [
        ("complex", "complex"),
        ("float8", "float8"),
        ("quantised", "quantised"),
        ("sparse", "sparse"),
        ("conjugated", "conjugated"),
        ("meta", "without data"),
    ] {
        let error = checkpoint.state_dict().get(name).unwrap().bytes().unwrap_err();
        assert!(matches!(error, TensorError::Unsupported { .. }), "{error}");
        let message = error.to_string();
        assert!(
            message.contains(&format!("`{name}`")) && message.contains(kind),
            "{message}"
        );
        assert!(message.contains(path.to_str().unwrap()), "{message}");
    }
    assert_eq!(checkpoint.state_dict().get("quantised").unwrap().shape(), [2, 2]);
}

#[test]
fn a_demanded_wrapper_is_opened_instead_of_the_average() {
    let options = OpenOptions::default().with_wrapper("state_dict");
    let checkpoint = options.open(fixture("wrapped_average.pth")).unwrap();
    assert_eq!(checkpoint.wrapper(), Some("state_dict"));
    assert_eq!(checkpoint.left_out(), ["epoch", "state_dict_ema", "args"]);
}

#[test]
fn a_demanded_wrapper_that_is_missing_lists_those_that_are_there() {
    let error = OpenOptions::default()
        .with_wrapper("weights")
        .open(fixture("wrapped_average.pth"))
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NoSuchWrapper { .. }));
    assert!(
        error
            .to_string()
            .contains("`epoch`, `state_dict`, `state_dict_ema`, `args`"),
        "{error}"
    );
    let error = OpenOptions::default()
        .with_wrapper("args")
        .open(fixture("wrapped_average.pth"))
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NoTensors { .. }), "{error}");
}

/// The value of the convolution's bias, which identifies the network: 0 in the first, 1 more in its average.
fn bias(checkpoint: &Checkpoint) -> f32 {
    checkpoint
        .state_dict()
        .get("conv.bias")
        .unwrap()
        .floats()
        .unwrap()[0]
}

#[test]
fn elements_of_a_list_and_numbered_keys_are_opened_by_number() {
    let first = bias(&Checkpoint::open(fixture("zip_flat.pth")).unwrap());
    for anchors in [&[][..], &["conv.weight"]] {
        for name in ["bad_list_of_two.pth", "deep_numbers.pth"] {
            for (key, offset) in [("0", 0.0), ("1", 1.0)] {
                let options = OpenOptions::default().with_anchors(anchors).with_wrapper(key);
                let checkpoint = options.open(fixture(name)).unwrap();
                assert_eq!(checkpoint.wrapper(), Some(key), "{name}");
                assert_eq!(bias(&checkpoint), first + offset, "{name}: {key}");
                assert_eq!(
                    checkpoint.left_out().len(),
                    2,
                    "{name}: {:?}",
                    checkpoint.left_out()
                );
            }
            let error = OpenOptions::default()
                .with_anchors(anchors)
                .with_wrapper("3")
                .open(fixture(name));
            let error = error.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::NoSuchWrapper { .. }), "{error}");
            assert!(error.to_string().contains("found `0`, `1`,"), "{error}");
        }
    }
}

#[test]
fn a_network_in_a_list_further_down_is_found() {
    let options = OpenOptions::default().with_anchors(&["conv.weight"]);
    let checkpoint = options.open(fixture("deep_list.pth")).unwrap();
    assert_eq!(checkpoint.wrapper(), Some("nets.0.weights"));
    assert_eq!(checkpoint.left_out(), ["losses"]);
    let checkpoint = options.open(fixture("wrapped_tuple.pth")).unwrap();
    assert_eq!(checkpoint.wrapper(), Some("1"));
    assert_eq!(checkpoint.statements(), [("0".to_owned(), "3".to_owned())]);
}

#[test]
fn metadata_of_a_safetensors_file_is_kept() {
    let checkpoint = Checkpoint::open(fixture("flat.safetensors")).unwrap();
    assert_eq!(checkpoint.metadata()["effnet.profile"], "tf");
}

#[test]
fn opening_copies_nothing_and_contiguous_tensors_are_borrowed() {
    for name in [
        "zip_flat.pth",
        "legacy_protocol2.pth",
        "tar.pth",
        "flat.safetensors",
    ] {
        let checkpoint = Checkpoint::open(fixture(name)).unwrap();
        let contiguous = checkpoint
            .state_dict()
            .iter()
            .filter(|(_, tensor)| tensor.is_contiguous());
        for (key, tensor) in contiguous {
            assert!(
                matches!(tensor.bytes().unwrap(), std::borrow::Cow::Borrowed(_)),
                "{name}: {key}"
            );
        }
    }
}

#[test]
fn a_checkpoint_may_cross_threads_and_outlive_its_file_name() {
    fn crosses<T: Send + Sync + Clone>(_: &T) {}
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moved.pth");
    std::fs::copy(fixture("zip_flat.pth"), &path).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    crosses(&checkpoint);
    assert_eq!(
        checkpoint
            .state_dict()
            .get("kept")
            .unwrap()
            .bytes()
            .unwrap()
            .len(),
        4
    );
}
