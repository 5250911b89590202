//! Reading any file takes at most twice its size plus 64 MiB of memory, and steps in proportion to its size.
//!
//! Files that repeat references can break such a bound: one long string and a great many two-byte references
//! to it. The tests here create such files, by hand for each kind that once broke it and at random for
//! similar ones, and measure peak memory, the sum of all allocations and the steps charged.
#![allow(clippy::unwrap_used, reason = "a test may panic if its own files are broken")]

#[path = "support/attack.rs"]
mod attack;
#[path = "support/counting.rs"]
mod counting;
mod support;

use std::io::Write;
use std::path::Path;

use attack::{Packed, buffer_names, lookups, safetensors, stream, tar, tensor_of, zip, zip_of, zip_packed};
use counting::counted;
use effnet_checkpoint::{Checkpoint, Error, OpenOptions, Work};
use proptest::prelude::*;

/// Limit on all allocations, including those already freed, as a multiple of the memory that may be held.
const CHURN: usize = 4;
/// Length allowed for the advice, the path and 200 characters of the file, or of several names in it.
const MESSAGE: usize = 1200;

/// Opens a file, reads its tensors, and checks the cost against the size of the file. Does the same while looking
/// for networks below all keys.
fn affordable(path: &Path) -> Result<Checkpoint, Error> {
    let _ = affordable_with(&OpenOptions::default().with_anchors(&["k.weight"]), path);
    affordable_with(&OpenOptions::default(), path)
}

fn affordable_with(options: &OpenOptions, path: &Path) -> Result<Checkpoint, Error> {
    let len = std::fs::metadata(path).unwrap().len() as usize;
    let ((outcome, work), memory) = counted(|| {
        let (outcome, work) = options.open_measured(path);
        if let Ok(checkpoint) = &outcome {
            for (_, tensor) in checkpoint.state_dict() {
                drop(tensor.bytes());
            }
        }
        (outcome, work)
    });
    let limit = Work::limit_for(len);
    let bytes = limit.memory as usize;
    assert!(memory.peak <= bytes, "peak {} for a file of {len}", memory.peak);
    assert!(
        memory.total <= CHURN * bytes,
        "{} allocated for a file of {len}",
        memory.total
    );
    // One charge may exceed the limit: that of the longest string or the longest list.
    assert!(
        work.steps <= limit.steps + len as u64,
        "{} steps for a file of {len}",
        work.steps
    );
    if let Err(error) = &outcome {
        let text = error.to_string();
        assert!(
            text.chars().count() < MESSAGE,
            "a message of {} bytes",
            text.len()
        );
    }
    outcome
}

/// Does the same for bytes.
fn affordable_bytes(bytes: &[u8]) -> Result<Checkpoint, Error> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    affordable(file.path())
}

#[test]
fn every_attack_that_was_found_is_affordable() {
    let Some(folder) = support::shared_cases("every_attack_that_was_found_is_affordable") else {
        return;
    };
    let mut tried = 0;
    for entry in std::fs::read_dir(folder.join("attacks")).unwrap() {
        let path = entry.unwrap().path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("pth" | "safetensors")) {
            let _ = affordable(&path);
            tried += 1;
        }
    }
    assert!(tried > 0);
}

#[test]
fn one_buffer_name_listed_often_is_not_copied_often() {
    for len in [50_000, 200_000] {
        let _ = affordable_bytes(&stream(&buffer_names(len, len), b"]"));
        let _ = affordable_bytes(&zip(&buffer_names(len, len)));
    }
}

#[test]
fn one_long_tag_of_many_storages_is_not_decoded_often() {
    let long = [&b"\x80\x02T\x50\xc3\0\0"[..], &vec![0xe9; 50_000], b"q\x01"].concat();
    let references = b"(h\x01NNNNtQ".repeat(30_000);
    let object = [&long[..], b"](", &references, b"e."].concat();
    let _ = affordable_bytes(&stream(&object, b"]"));
}

#[test]
fn attributes_that_are_looked_up_often_are_charged() {
    let error = affordable_bytes(&stream(&lookups(10_000), b"]")).unwrap_err();
    assert!(error.to_string().contains("steps to read the file"), "{error}");
}

#[test]
fn a_tensor_of_many_dimensions_under_many_names_is_not_copied_often() {
    let sizes = [&b"("[..], &b"K\x01".repeat(64), b"t"].concat();
    let tensor = [&tensor_of(&sizes, &sizes)[..], b"q\x02"].concat();
    let names = (0..60_000u32).flat_map(|index| [format!("U\x06{index:06}").as_bytes(), b"h\x02"].concat());
    let object = [
        &b"\x80\x02"[..],
        &tensor,
        b"0}(",
        &names.collect::<Vec<_>>(),
        b"u.",
    ]
    .concat();
    let _ = affordable_bytes(&zip(&object));
}

#[test]
fn decoding_a_long_text_takes_no_more_than_twice_its_bytes() {
    for len in [1 << 20, (1 << 26) + 1] {
        let object = [&b"\x80\x02}S'"[..], &vec![0xff; len], b"'\nNs."].concat();
        let _ = affordable_bytes(&stream(&object, b"]"));
    }
}

#[test]
fn a_shape_of_millions_of_zeros_is_refused() {
    let shape = "0,".repeat(4_000_000) + "0";
    let header = format!(r#"{{"w":{{"dtype":"U8","shape":[{shape}],"data_offsets":[0,0]}}}}"#);
    let error = affordable_bytes(&safetensors(&header, &[])).unwrap_err();
    assert!(error.to_string().contains("64 dimensions"), "{error}");
}

#[test]
fn a_header_of_very_many_empty_tensors_is_refused() {
    let tensors: Vec<String> = (0..400_000)
        .map(|index| format!(r#""{index}":{{"dtype":"U8","shape":[],"data_offsets":[0,0]}}"#))
        .collect();
    assert!(affordable_bytes(&safetensors(&format!("{{{}}}", tensors.join(",")), &[])).is_err());
    let metadata = "\"a\":\"b\",".repeat(400_000);
    let header = format!(r#"{{"__metadata__":{{{metadata}"a":"b"}}}}"#);
    assert!(affordable_bytes(&safetensors(&header, &[])).is_err());
}

#[test]
fn two_tensors_of_one_name_are_refused() {
    let one = r#""w":{"dtype":"U8","shape":[1],"data_offsets":"#;
    let header = format!("{{{one}[0,1]}},{one}[1,2]}}}}");
    let error = affordable_bytes(&safetensors(&header, &[1, 2])).unwrap_err();
    assert!(error.to_string().contains("two tensors named `w`"), "{error}");
}

#[test]
fn a_directory_of_names_that_are_not_text_is_affordable() {
    let entries: Vec<(Vec<u8>, Vec<u8>)> = (0..3_000u32)
        .map(|index| {
            (
                [&index.to_le_bytes()[..], &vec![0xff; 20_000]].concat(),
                Vec::new(),
            )
        })
        .collect();
    assert!(affordable_bytes(&zip_of(&entries)).is_err());
    let short: Vec<(Vec<u8>, Vec<u8>)> = (0..60_000u32)
        .map(|index| (index.to_le_bytes().to_vec(), Vec::new()))
        .collect();
    assert!(affordable_bytes(&zip_of(&short)).is_err());
}

#[test]
fn a_long_folder_in_an_archive_is_not_copied_for_every_storage() {
    let folder = vec![b'f'; 60_000];
    let tensor = tensor_of(b"K\x01\x85", b"K\x01\x85");
    let object = [
        &b"\x80\x02}("[..],
        &[b"U\x01w", &tensor[..]].concat().repeat(10_000),
        b"u.",
    ]
    .concat();
    let entries = [
        ([&folder[..], b"/data.pkl"].concat(), object),
        ([&folder[..], b"/data/0"].concat(), vec![0; 4]),
    ];
    let _ = affordable_bytes(&zip_of(&entries));
}

#[test]
fn unpacking_takes_no_more_than_the_declared_size() {
    let size = 62 << 20;
    let zeros = vec![0; size];
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&zeros).unwrap();
    let packed = |name: &[u8], method, size, crc, content| Packed {
        name: name.to_vec(),
        method,
        size,
        crc,
        content,
    };
    let (object, crc) = (b"\x80\x02}.".to_vec(), crc32fast::hash(&zeros));
    let object_crc = crc32fast::hash(&object);
    drop(zeros);
    let file = zip_packed(&[
        packed(b"a/data.pkl", 0, object.len() as u32, object_crc, object),
        packed(b"a/byteorder", 8, size as u32, crc, encoder.finish().unwrap()),
    ]);
    let error = affordable_bytes(&file).unwrap_err();
    assert!(error.to_string().contains("byte order"), "{error}");
}

#[test]
fn a_message_quotes_little_of_a_file() {
    let long = "\u{1b}".repeat(20_000);
    let order = [
        (b"a/data.pkl".to_vec(), b"\x80\x02}.".to_vec()),
        (b"a/byteorder".to_vec(), long.clone().into_bytes()),
    ];
    assert!(affordable_bytes(&zip_of(&order)).is_err());
    let named: Vec<_> = (0..4u8)
        .map(|index| ([&[b'0' + index], long.as_bytes()].concat(), Vec::new()))
        .collect();
    assert!(affordable_bytes(&zip_of(&named)).is_err());
    let roots =
        ["x/data.pkl", "y/data.pkl"].map(|end| ([long.as_bytes(), end.as_bytes()].concat(), Vec::new()));
    assert!(affordable_bytes(&zip_of(&roots)).is_err());
    let dtype = format!(
        r#"{{"w":{{"dtype":"{}","shape":[],"data_offsets":[0,0]}}}}"#,
        "D".repeat(20_000)
    );
    assert!(affordable_bytes(&safetensors(&dtype, &[])).is_err());
    let name = format!(
        r#"{{"{}":{{"dtype":"U8","shape":[],"data_offsets":[0,0]}}}}"#,
        "D".repeat(20_000)
    );
    assert!(affordable_bytes(&safetensors(&name, &[])).is_err());
    let key = |index: u8| [&b"X\x00\x04\0\0"[..], &[index; 1024], b"K\x01"].concat();
    let keys = [
        &b"\x80\x02}("[..],
        &(b'a'..=b'z').flat_map(key).collect::<Vec<_>>(),
        b"u.",
    ]
    .concat();
    assert!(affordable_bytes(&stream(&keys, b"]")).is_err());
}

#[test]
fn calls_are_named_beside_tensors() {
    let tensor = tensor_of(b"K\x01\x85", b"K\x01\x85");
    let with = |call: &[u8]| {
        let object = [&b"\x80\x02}(U\x01w"[..], &tensor, b"U\x01x", call, b"u."].concat();
        affordable_bytes(&zip(&object)).unwrap().calls().to_vec()
    };
    assert_eq!(with(b"cos\nsystem\n(U\x04truetR"), ["os.system"]);
    assert_eq!(with(b"ctorch.hub\nload\n)R"), ["torch.hub.load"]);
    assert_eq!(with(b"ccollections\nOrderedDict\n)R"), [""; 0]);
}

/// Parts of an object that refer to values memoised before: 1 is a long string, 2 a long list, 3 a long dict,
/// 4 a tensor, 5 a module.
const PARTS: [&[u8]; 22] = [
    b"h\x01",
    b"h\x02",
    b"h\x03",
    b"h\x04",
    b"h\x05",
    b"h\x01\x85",
    b"h\x01h\x02\x86",
    b"]h\x01a",
    b"}h\x01h\x04s",
    b"(h\x01h\x01h\x01h\x01h\x01tQ",
    b"(U\x07storageh\x01h\x01h\x01K\x01tQ",
    b"(U\x07storagectorch\nFloatStorage\nU\x010NK\x01tQ",
    b"h\x01h\x01\x93)R",
    b"ctorch._utils\n_rebuild_tensor\n(h\x01h\x01h\x01h\x01tR",
    b"ctorch._utils\n_rebuild_parameter\n(h\x04tR",
    b"ctorch._utils\n_rebuild_qtensor\n(h\x04K\x00h\x02tR",
    b"ccollections\nOrderedDict\n(h\x02tR",
    b"cm\nM\n)\x81}X\x0b\0\0\0_parametersh\x03sb",
    b"cm\nM\n)\x81}(X\x0b\0\0\0_parametersh\x03X\x1b\0\0\0_non_persistent_buffers_seth\x02ub",
    b"cm\nM\n)\x81h\x03b",
    b"cm\nM\n)\x81}X\x08\0\0\0_modules}h\x01h\x05ssb",
    b"S'\xff\xff\xff'\n",
];

/// The forms of the object: entries, or the modules or buffers of a module.
const ROOTS: [(&[u8], &[u8]); 4] = [
    (b"}(", b"u."),
    (b"](", b"e."),
    (b"cm\nM\n)\x81}X\x08\0\0\0_modules}(", b"usb."),
    (b"}X\x0a\0\0\0state_dict}(", b"us."),
];

fn object(long: usize, text: u8, root: usize, parts: &[usize], times: usize) -> Vec<u8> {
    let string = [&b"T"[..], &(long as u32).to_le_bytes(), &vec![text; long]].concat();
    let list = [&b"]q\x02("[..], &b"h\x01".repeat(long / 8), b"e0"].concat();
    let dict = [
        &b"}q\x03("[..],
        &b"h\x01h\x01".repeat((long / 16).min(1000)),
        b"u0",
    ]
    .concat();
    let tensor = tensor_of(b"K\x01\x85", b"K\x01\x85");
    let module = b"cm\nM\n)\x81}X\x0b\0\0\0_parameters}h\x01h\x04ssbq\x050";
    let head = [
        b"\x80\x02",
        &string[..],
        b"q\x010",
        &list,
        &dict,
        &tensor,
        b"q\x040",
        module,
    ]
    .concat();
    let key = b"U\x01k";
    let (open, close) = ROOTS[root];
    let body: Vec<u8> = parts
        .iter()
        .flat_map(|&part| [key, PARTS[part]].concat())
        .collect();
    // In a list, the keys become elements.
    [&head[..], open, &body.repeat(times), close].concat()
}

/// A list with a million references to itself, in a few bytes each: the search below its keys ends all the same.
#[test]
fn lists_that_hold_themselves_are_searched_within_the_budget() {
    let cycle = [&b"\x80\x02]q\x01("[..], &b"h\x01".repeat(1_000_000), b"e."].concat();
    for bytes in [stream(&cycle, b"]."), zip(&cycle)] {
        assert!(affordable_bytes(&bytes).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_file_that_repeats_references_costs_what_its_size_justifies(
        long in prop::sample::select(vec![10usize, 200, 1_000, 30_000, 60_000]),
        text in prop::sample::select(vec![b'a', 0xe9]),
        root in 0..ROOTS.len(),
        parts in prop::collection::vec(0..PARTS.len(), 1..4),
        times in prop::sample::select(vec![1usize, 100, 3_000, 20_000]),
        container in 0..4u8,
    ) {
        let object = object(long, text, root, &parts, times);
        let bytes = match container {
            0 => zip(&object),
            1 => stream(&object, b"]U\x010a"),
            2 => tar(&object),
            _ => {
                let folder = vec![text; long];
                zip_of(&[
                    ([&folder[..], b"/data.pkl"].concat(), object),
                    ([&folder[..], b"/data/0"].concat(), vec![0; 4]),
                ])
            }
        };
        let _ = affordable_bytes(&bytes);
    }

    #[test]
    fn a_header_that_repeats_entries_costs_what_its_size_justifies(
        name in prop::sample::select(vec!["n", "\\u00e9", "\\n"]),
        long in prop::sample::select(vec![0usize, 10, 10_000]),
        dimensions in prop::sample::select(vec![0usize, 1, 64, 65, 10_000]),
        times in prop::sample::select(vec![1usize, 100, 5_000]),
        metadata in any::<bool>(),
    ) {
        let name = name.repeat(long);
        let shape = vec!["0"; dimensions].join(",");
        let times = times.min(20_000_000 / (name.len() + 2 * dimensions + 1));
        let entries: Vec<String> = (0..times).map(|index| if metadata {
            format!(r#""{index}{name}":"{name}""#)
        } else {
            let end = usize::from(dimensions == 0);
            format!(r#""{index}{name}":{{"dtype":"U8","shape":[{shape}],"data_offsets":[{},{}]}}"#,
                index * end, (index + 1) * end)
        }).collect();
        let entries = entries.join(",");
        let header = if metadata {
            format!(r#"{{"__metadata__":{{{entries}}}}}"#)
        } else {
            format!("{{{entries}}}")
        };
        let _ = affordable_bytes(&safetensors(&header, &vec![0; times]));
    }
}
