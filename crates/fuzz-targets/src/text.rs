//! Text files: the manifest of weights, class names, training settings.

use effnet::Labels;
use effnet_cli::training::file::parse_toml;
use effnet_hub::Manifest;

pub(crate) fn manifest(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(manifest) = Manifest::parse(text, "fuzzed") {
        for entry in manifest.entries() {
            assert_eq!(
                manifest.get(&entry.id).ok().map(|entry| &entry.id),
                Some(&entry.id)
            );
            for file in &entry.files {
                let name = file.name.as_str();
                assert!(
                    !name.contains(['/', '\\', '\0']) && !name.starts_with('.'),
                    "{name:?}"
                );
            }
        }
    }
}

pub(crate) fn labels(bytes: &[u8]) {
    if let Ok(labels) = std::str::from_utf8(bytes)
        .map_err(drop)
        .and_then(|text| Labels::from_json(text).map_err(drop))
    {
        // A class beyond the last one has a name too.
        let _ = (labels.get(labels.len()).len(), labels.wnids().is_ok());
    }
}

pub(crate) fn settings(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = parse_toml(text);
    }
}
