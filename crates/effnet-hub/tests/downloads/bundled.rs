//! Tests of embedded weights.

use std::fs;

use effnet_hub::{Bundled, Entry, Error, Hub};

use crate::bench::{Bench, NAME, entry, sha256};

const BYTES: &[u8] = b"weights of a small network";
const BUNDLED: Bundled = Bundled {
    id: "b0.test",
    name: NAME,
    bytes: BYTES,
    sha256: "efa2c34c0d34c91d5b4b2c3fac5b4b8e96b942fe576897ada05d7ef3ba58c08c",
};

/// An entry for `content` without a URL.
fn of(content: &[u8]) -> Entry {
    let mut entry = entry(&[(NAME, &["https://nowhere.invalid/w"], Some(&sha256(content)))]);
    entry.files[0].urls.clear();
    entry.files[0].bundled = true;
    entry
}

fn offline() -> Bench {
    let mut bench = Bench::new();
    bench.config.offline = true;
    bench.config.bundled.push(BUNDLED);
    bench
}

#[test]
fn bundled_weights_need_no_network() {
    let mut bench = offline();
    assert!(Hub::new(bench.config.clone()).is_bundled(&of(BYTES)));
    for _ in 0..2 {
        assert_eq!(bench.resolve(&of(BYTES)).unwrap(), bench.own(NAME));
        assert_eq!(fs::read(bench.own(NAME)).unwrap(), BYTES);
    }
    // A file that was damaged since then is repaired.
    fs::write(bench.own(NAME), b"weights of a small netw0rk").unwrap();
    assert_eq!(bench.resolve(&of(BYTES)).unwrap(), bench.own(NAME));
    assert_eq!(fs::read(bench.own(NAME)).unwrap(), BYTES);
    assert!(bench.watcher.warned_of("ignoring `"));
}

#[test]
fn other_bytes_than_the_entry_means_are_not_taken_for_it() {
    let mut bench = offline();
    let error = bench.resolve(&of(b"others")).unwrap_err();
    assert!(matches!(error, Error::Offline(_)), "{error}");
    assert!(!bench.own(NAME).exists());
}

#[test]
fn weights_that_cannot_be_had_name_those_that_can() {
    let mut bench = offline();
    let mut missing = entry(&[(
        "other.pth",
        &["https://nowhere.invalid/other.pth"],
        Some("12345678"),
    )]);
    missing.id = "b0.other".to_owned();
    let offline = bench.resolve(&missing).unwrap_err().to_string();
    bench.config.offline = false;
    bench.config.retries = 0;
    let fetched = bench.resolve(&missing).unwrap_err().to_string();
    let cache = bench.config.cache.display().to_string();
    for text in [offline, fetched] {
        for part in [
            "`b0.other`",
            "https://nowhere.invalid/other.pth",
            "cache/other.pth",
            &cache,
            "--model b0.test",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
