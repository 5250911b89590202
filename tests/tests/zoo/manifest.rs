//! A user's own manifest.

use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// An entry for a B0 of this id: `bytes` under the name `file`, formerly `former`, at `url`.
pub(crate) fn entry(id: &str, file: &str, former: &[&str], url: &str, bytes: &[u8]) -> Value {
    json!({
        "id": id,
        "variant": "b0",
        "scheme": "lukemelas",
        "profile": "tf",
        "files": [{
            "name": file,
            "former_names": former,
            "urls": [url],
            "sha256": digest(bytes),
            "bytes": bytes.len(),
        }],
        "classes": 1000,
        "preprocessing": {
            "image_size": 224,
            "crop_pct": 0.875,
            "crop_mode": "center",
            "interpolation": "bicubic",
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225]
        },
        "licence": "Apache-2.0"
    })
}

pub(crate) fn write(path: &Path, entries: &[Value]) {
    let document = json!({"version": 1, "entries": entries});
    std::fs::write(path, document.to_string()).unwrap();
}

/// SHA-256 in hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}
