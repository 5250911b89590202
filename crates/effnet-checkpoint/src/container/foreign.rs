//! Recognises files that people pass as checkpoints but that have a different format.
//!
//! Most of them are failed downloads (an error page, a git-LFS pointer) or exports of other frameworks.
//! Naming the format says what went wrong; "unknown format" would not.

use crate::error::ErrorKind;

const DOWNLOAD: &str = "if it was downloaded, open its URL in a browser and download the file itself; otherwise \
                        pass the weights file instead";
const EXPORT: &str = "export the parameters with PyTorch or safetensors first";
const UNPACK: &str = "unpack it and open the file inside";

/// The first bytes of each format, its name, and advice on what to do. The signatures come from the
/// specifications of the formats.
const SIGNATURES: &[(&[u8], &str, &str)] = &[
    (
        b"version https://git-lfs",
        "a git-LFS pointer",
        "run `git lfs pull`, or download the file itself",
    ),
    (b"\x1f\x8b", "a gzip archive", UNPACK),
    (b"BZh", "a bzip2 archive", UNPACK),
    (b"\xfd7zXZ\0", "an xz archive", UNPACK),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
    (b"Rar!", "a RAR archive", UNPACK),
    (b"\x93NUMPY", "a NumPy array (.npy)", EXPORT),
    (
        b"PK\x05\x06",
        "a zip archive without entries",
        "save the checkpoint again",
    ),
    (b"GGUF", "a GGUF file", EXPORT),
    (b"%PDF", "a PDF document", DOWNLOAD),
    (b"\x89PNG", "a PNG image", "pass the weights file instead"),
    (b"\xff\xd8\xff", "a JPEG image", "pass the weights file instead"),
    (
        b"\x7fELF",
        "a program or a shared library",
        "pass the weights file instead",
    ),
];

/// Returns the error for a file that is not in a checkpoint format.
pub(crate) fn identify(bytes: &[u8]) -> ErrorKind {
    let known = SIGNATURES
        .iter()
        .find(|(signature, ..)| bytes.starts_with(signature));
    let (what, advice) = match known {
        Some(&(_, what, advice)) => (what, advice),
        None if is_tflite(bytes) => ("a TensorFlow Lite model", EXPORT),
        None if is_markup(bytes) => ("an HTML or XML page", DOWNLOAD),
        None if is_json(bytes) => ("a JSON file", DOWNLOAD),
        None if is_onnx(bytes) => ("an ONNX or TensorFlow model (protobuf)", EXPORT),
        None if is_pickle(bytes) => (
            "a plain Python pickle, not written by torch.save",
            "load it in Python and use torch.save",
        ),
        None => {
            return ErrorKind::Unrecognised {
                first_bytes: shown(bytes),
            };
        }
    };
    ErrorKind::Foreign {
        what: what.to_owned(),
        advice,
    }
}

fn is_tflite(bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(b"TFL3")
}

fn is_markup(bytes: &[u8]) -> bool {
    let text = bytes
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(bytes)
        .trim_ascii_start();
    text.first() == Some(&b'<')
}

fn is_json(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii_start();
    text.first() == Some(&b'{')
        && text
            .get(1..)
            .is_some_and(|rest| rest.trim_ascii_start().starts_with(b"\""))
}

/// A protobuf message has no signature. ONNX starts with `ir_version` (field 1, a small number) and a
/// producer or opset field; a TensorFlow SavedModel similarly with its schema version and a graph.
fn is_onnx(bytes: &[u8]) -> bool {
    matches!(bytes, [0x08, 1..=20, 0x12 | 0x42 | 0x3a, ..])
}

fn is_pickle(bytes: &[u8]) -> bool {
    matches!(bytes, [0x80, 1..=5, ..])
}

fn shown(bytes: &[u8]) -> String {
    let first = &bytes[..bytes.len().min(8)];
    let hex: Vec<String> = first.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{} (\"{}\")", hex.join(" "), first.escape_ascii())
}
