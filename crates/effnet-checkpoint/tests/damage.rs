//! Reading a damaged or malicious file ends soon, with a result or an error.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may panic if its own files are broken"
)]

#[path = "support/counting.rs"]
mod counting;
mod support;

use std::io::Write;
use std::path::Path;

use counting::counted;
use effnet_checkpoint::{Checkpoint, DType, Error, ErrorKind};
use proptest::prelude::*;
use support::fixture;

/// One file per container, and per way of storing its parts.
const VICTIMS: [&str; 13] = [
    "zip_old.pth",
    "zip_deflated_deeper.pth",
    "zip_strides.pth",
    "zip_whole_module.pth",
    "legacy_protocol4.pth",
    "legacy_views.pth",
    "legacy_whole_module.pth",
    "tar.pth",
    "flat.safetensors",
    "keras_named.h5",
    "keras_numbered.weights.h5",
    "keras_latest.h5",
    "keras.keras",
];

/// Opens a file and reads all of its tensors.
fn read_all(path: &Path) -> Result<usize, Error> {
    let checkpoint = Checkpoint::open(path)?;
    let tensors = checkpoint.state_dict().iter();
    Ok(tensors
        .filter_map(|(_, tensor)| Some(tensor.bytes().ok()?.len()))
        .sum())
}

/// Reads bytes as a file; memory must stay within the limit for a file of this size.
fn survives(bytes: &[u8]) -> Result<usize, Error> {
    survives_within(2 << 20, bytes)
}

/// Memory allowed for half a million instructions, whose results are larger than the instructions themselves.
const GRAPH: usize = 64 << 20;

/// Grants an allowance in addition to twice the size of the file.
fn survives_within(allowance: usize, bytes: &[u8]) -> Result<usize, Error> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let (outcome, memory) = counted(|| read_all(file.path()));
    let memory = memory.peak;
    // The allowance for small files is meant for decompression and for copies of views.
    assert!(
        memory < allowance + 2 * bytes.len(),
        "it took {memory} bytes for a file of {}",
        bytes.len()
    );
    outcome
}

fn cut_everywhere(name: &str) {
    let bytes = std::fs::read(fixture(name)).unwrap();
    // A tar archive ends in padding and empty blocks that no reader needs.
    let needed = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    for len in 0..=needed {
        let error = survives(&bytes[..len]).expect_err(&format!("{name} cut to {len} bytes was read"));
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn a_zip_archive_cut_anywhere_is_refused() {
    cut_everywhere("zip_old.pth");
    cut_everywhere("zip_deflated_deeper.pth");
}

#[test]
fn a_stream_cut_anywhere_is_refused() {
    cut_everywhere("legacy_protocol2.pth");
    cut_everywhere("legacy_protocol4.pth");
}

#[test]
fn a_tar_archive_cut_anywhere_is_refused() {
    cut_everywhere("tar.pth");
}

#[test]
fn a_safetensors_file_cut_anywhere_is_refused() {
    cut_everywhere("flat.safetensors");
}

#[test]
fn an_hdf5_file_cut_anywhere_is_refused() {
    cut_everywhere("keras_latest.h5");
    cut_everywhere("keras_named.h5");
}

#[test]
fn a_file_cut_in_the_middle_is_said_to_be_cut_short() {
    for name in ["zip_flat.pth", "legacy_protocol2.pth", "flat.safetensors"] {
        let bytes = std::fs::read(fixture(name)).unwrap();
        for part in 2..8 {
            let error = survives(&bytes[..bytes.len() * part / 8]).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Truncated { .. }), "{error}");
            assert!(error.to_string().contains("download or copy it again"), "{error}");
        }
    }
}

#[test]
fn a_changed_pickle_in_an_archive_is_noticed_by_its_checksum() {
    let mut bytes = std::fs::read(fixture("zip_flat.pth")).unwrap();
    let name = bytes
        .windows(11)
        .position(|window| window == b"conv.weight")
        .unwrap();
    bytes[name] = b'k';
    assert!(survives(&bytes).unwrap_err().to_string().contains("checksum"));
}

#[test]
fn a_changed_packed_tensor_is_noticed_when_it_is_read() {
    let bytes = std::fs::read(fixture("zip_deflated_deeper.pth")).unwrap();
    let start = bytes.windows(6).position(|window| window == b"data/0").unwrap() + 6;
    let mut changed = bytes.clone();
    changed[start] ^= 0xff;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&changed).unwrap();
    let checkpoint = Checkpoint::open(file.path()).unwrap();
    let error = checkpoint.state_dict().get("kept").unwrap().bytes().unwrap_err();
    assert!(error.to_string().contains("data/0"), "{error}");
}

#[test]
fn thousands_of_flipped_bytes_do_no_harm() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    for name in VICTIMS {
        let original = std::fs::read(fixture(name)).unwrap();
        for _ in 0..1500 {
            let mut bytes = original.clone();
            for _ in 0..=random(4) {
                let at = random(bytes.len());
                bytes[at] = random(256) as u8;
            }
            let _ = survives(&bytes);
        }
    }
}

/// A stream around a pickled object and a list of storage keys.
fn stream(object: &[u8], rest: &[u8]) -> Vec<u8> {
    let head = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.";
    [&head[..], object, rest].concat()
}

/// The storage of `one_tensor`. The first byte of each of its four elements identifies the element.
const ELEMENTS: [u8; 16] = [0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0];

/// `{"w": tensor}` with the given size and stride tuples, on a storage of 4 floats.
fn one_tensor(size: &[u8], stride: &[u8]) -> Vec<u8> {
    let tensor = [
        &b"ctorch._utils\n_rebuild_tensor\n((U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x04NtQK\x00"[..],
        size, stride, b"tR",
    ]
    .concat();
    let object = [&b"\x80\x02}U\x01w"[..], &tensor, b"s."].concat();
    let storage = [&b"\x80\x02]U\x010a."[..], &4u64.to_le_bytes(), &ELEMENTS].concat();
    stream(&object, &storage)
}

#[test]
fn a_view_beyond_its_storage_is_refused_by_name() {
    assert_eq!(survives(&one_tensor(b"K\x04\x85", b"K\x01\x85")).unwrap(), 16);
    for (size, stride) in [
        (&b"K\x05\x85"[..], &b"K\x01\x85"[..]),
        (b"K\x02\x85", b"K\x04\x85"),
        (b"K\x02K\x02\x86", b"K\x01\x85"),
        (b"J\xff\xff\xff\xff\x85", b"K\x01\x85"),
        (b"K\x02\x85", b"J\xff\xff\xff\xff\x85"),
        (
            b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85",
            b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85",
        ),
    ] {
        let error = survives(&one_tensor(size, stride)).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::BadTensor { .. }), "{error}");
        assert!(error.to_string().contains("tensor `w`"), "{error}");
    }
}

#[test]
fn a_shape_whose_product_overflows_is_refused_even_with_a_zero_in_it() {
    let huge = b"(\x8a\x08\0\0\0\0\0\0\0\x40\x8a\x08\0\0\0\0\0\0\0\x40K\x00t";
    assert!(survives(&one_tensor(huge, b"K\x00K\x00K\x00\x87")).is_err());
}

#[test]
fn a_tiny_tensor_expanded_to_terabytes_is_refused() {
    let error = survives(&one_tensor(b"M\xff\xffM\xff\xff\x86", b"K\x00K\x00\x86")).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TooBig { .. }), "{error}");
}

/// `{"_modules": {"a": m, "b": m}}`, nested sixty times over one module: 2 to the 60th names from 2 kB.
#[test]
fn modules_that_share_modules_do_not_multiply() {
    let mut object = b"\x80\x02cm\nM\n)\x81}X\x0b\0\0\0_parameters}sbq\0".to_vec();
    for _ in 0..60 {
        object.extend(b"0cm\nM\n)\x81}X\x08\0\0\0_modules}(U\x01ah\0U\x01bh\0usbq\0");
    }
    object.push(b'.');
    let error = survives(&stream(&object, b"\x80\x02].")).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TooBig { .. }), "{error}");
}

#[test]
fn a_module_inside_itself_ends_at_a_depth() {
    let object = b"\x80\x02cm\nM\n)\x81q\0}X\x08\0\0\0_modules}U\x01ah\0ssb.";
    assert!(
        survives(&stream(object, b"\x80\x02]."))
            .unwrap_err()
            .to_string()
            .contains("nested in more than 100 modules")
    );
}

#[test]
fn lists_of_lists_of_lists_are_not_copied() {
    let mut object = b"\x80\x02]q\0".to_vec();
    for _ in 0..10_000 {
        object.extend(b"]q\x01(h\0h\0h\0h\0eq\0");
    }
    object.push(b'.');
    assert!(survives(&stream(&object, b"\x80\x02].")).is_err());
}

/// A zip archive of stored local headers, one of which claims to unpack to 4 GB.
#[test]
fn a_decompression_bomb_is_refused_before_it_is_unpacked() {
    let mut bytes = std::fs::read(fixture("zip_deflated_deeper.pth")).unwrap();
    let directory = bytes
        .windows(4)
        .position(|window| window == b"PK\x01\x02")
        .unwrap();
    bytes[directory + 24..directory + 28].copy_from_slice(&0xffff_fff0_u32.to_le_bytes());
    let error = survives(&bytes).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TooBig { .. }), "{error}");
}

#[test]
fn a_header_of_offsets_near_the_end_of_numbers_is_refused() {
    let near = u64::MAX - 8;
    let header = format!(r#"{{"w":{{"dtype":"U8","shape":[{near}],"data_offsets":[0,{near}]}}}}"#);
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    assert!(survives(&bytes).is_err());
}

proptest! {
    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(survives(&bytes).is_err());
    }

    #[test]
    fn random_bytes_behind_a_signature_are_refused(
        signature in prop::sample::select(vec![
            &b"PK\x03\x04"[..], b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.",
            b"\x10\0\0\0\0\0\0\0{",
        ]),
        bytes in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        prop_assert!(survives(&[signature, &bytes].concat()).is_err());
    }

    /// Sequences of real instructions get further than random bytes.
    #[test]
    fn random_instructions_do_no_harm(
        instructions in prop::collection::vec(prop::sample::select(vec![
            &b"("[..], b")", b"]", b"}", b"K\x01", b"U\x01w", b"N", b"t", b"\x85", b"\x86", b"\x87", b"R", b"b",
            b"s", b"a", b"u", b"e", b"0", b"1", b"2", b"q\0", b"h\0", b"\x94", b"Q", b"d", b"l", b"\x8f", b"\x90",
            b"\x81", b"\x93", b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nFloatStorage\n",
            b"ccollections\nOrderedDict\n", b"X\x08\0\0\0_modules", b"X\x0b\0\0\0_parameters",
        ]), 0..60),
    ) {
        let object = [&b"\x80\x02"[..], &instructions.concat(), b"."].concat();
        let _ = survives(&stream(&object, b"\x80\x02]."));
    }

    /// Any shape and strides that fit are read as defined, element by element.
    #[test]
    fn any_view_that_fits_is_gathered_right(
        shape in prop::collection::vec(0usize..4, 0..4),
        seed in prop::collection::vec(0usize..4, 4),
    ) {
        let strides = &seed[..shape.len()];
        let number = |value: &usize| [b"K".as_slice(), &[*value as u8]].concat();
        let tuple = |values: &[usize]| {
            [b"(".to_vec(), values.iter().flat_map(number).collect(), b"t".to_vec()].concat()
        };
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&one_tensor(&tuple(&shape), &tuple(strides))).unwrap();
        let numel: usize = shape.iter().product();
        let last: usize = shape.iter().zip(strides).map(|(size, stride)| size.saturating_sub(1) * stride).sum();
        match Checkpoint::open(file.path()) {
            Ok(checkpoint) => {
                prop_assert!(numel == 0 || last < 4);
                let tensor = checkpoint.state_dict().get("w").unwrap();
                prop_assert_eq!(tensor.dtype(), DType::F32);
                let mut positions = vec![0];
                for (size, stride) in shape.iter().zip(strides) {
                    let along = |start: &usize| (0..*size).map(|step| start + step * stride).collect::<Vec<_>>();
                    positions = positions.iter().flat_map(along).collect();
                }
                let bytes = tensor.bytes().unwrap();
                let read: Vec<usize> = bytes.chunks(4).map(|element| usize::from(element[0])).collect();
                prop_assert_eq!(read, positions);
            }
            Err(_) => prop_assert!(numel > 0 && last >= 4),
        }
    }
}

#[test]
fn a_million_instructions_are_not_all_carried_out() {
    let object = [&b"\x80\x02"[..], &b"]".repeat(2_000_000), b"."].concat();
    let error = survives_within(GRAPH, &stream(&object, b"\x80\x02].")).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TooBig { .. }), "{error}");
}

/// A reference costs two bytes; reading must not pay for what it refers to again and again.
#[test]
fn a_long_string_that_is_used_often_is_not_copied_often() {
    let long = vec![b'k'; 1_000_000];
    let head = [&b"\x80\x02X\x40\x42\x0f\0"[..], &long, b"q\x01"].concat();
    // A dict whose keys are all that string, a set of calls that all have that name, and both at once.
    let keys = [&head[..], b"}(", &b"h\x01N".repeat(100_000), b"u."].concat();
    assert!(survives_within(GRAPH, &stream(&keys, b"\x80\x02].")).is_err());
    let calls = [&head[..], b"](", &b"h\x01h\x01\x93)R".repeat(50_000), b"e."].concat();
    assert!(survives_within(GRAPH, &stream(&calls, b"\x80\x02].")).is_err());
    let storage = b"((U\x07storagectorch\nFloatStorage\nh\x01U\x03cpuK\x01NtQK\x00))t";
    let tensor = [&b"U\x01wctorch._utils\n_rebuild_tensor\n"[..], storage, b"R"].concat();
    let tensors = [&head[..], b"}(", &tensor.repeat(5_000), b"u."].concat();
    assert!(survives_within(GRAPH, &stream(&tensors, b"\x80\x02].")).is_err());
}

#[test]
fn a_long_dict_that_is_used_often_is_not_searched_often() {
    let many = [&b"\x80\x02}q\x01("[..], &b"K\x01K\x01".repeat(50_000), b"u"].concat();
    // Modules whose parameters, buffers or attributes are all that dict; and a dict of such dicts.
    for attribute in ["_parameters", "_buffers", "_modules"] {
        let state = format!("X{}\0\0\0{attribute}h\x01", char::from(attribute.len() as u8));
        let module = [&b"U\x01mcm\nM\n)\x81}"[..], state.as_bytes(), b"sb"].concat();
        let modules = [&many[..], b"0}(", &module.repeat(20_000), b"u."].concat();
        assert!(survives_within(GRAPH, &stream(&modules, b"\x80\x02].")).is_err());
    }
    let dicts = [&many[..], b"0}(", &b"U\x01dh\x01".repeat(50_000), b"u."].concat();
    assert!(survives_within(GRAPH, &stream(&dicts, b"\x80\x02].")).is_err());
}

#[test]
fn many_views_of_one_storage_cannot_pretend_to_be_a_hundred_files() {
    let storage =
        b"((U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuM\x00\x40NtQK\x00M\x00\x40\x85K\x01\x85t";
    let tensor = |index: u32| {
        let key = format!("U\x06{index:06}");
        [key.as_bytes(), b"ctorch._utils\n_rebuild_tensor\n", storage, b"R"].concat()
    };
    let tensors: Vec<u8> = (0..2_000).flat_map(tensor).collect();
    let object = [&b"\x80\x02}("[..], &tensors, b"u."].concat();
    let rest = [
        &b"\x80\x02]U\x010a."[..],
        &0x4000u64.to_le_bytes(),
        &vec![0; 0x10000],
    ]
    .concat();
    let error = survives(&stream(&object, &rest)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TooBig { .. }), "{error}");
}
