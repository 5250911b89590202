//! Tests of files that already exist in the cache folders of PyTorch, Hugging Face and the hub.

use std::fs;
use std::time::Duration;

use effnet_hub::{Entry, Hub, Manifest, PruneOptions, Verification};

use crate::bench::{Bench, NAME, body, entry, sha256};
use crate::server::{Reply, Server};

const NOWHERE: &str = "http://nowhere.invalid/w.pth";
const OLD_NAME: &str = "weights-former.pth";
const REPO_URL: &str = "https://huggingface.co/timm/x.in1k/resolve/main/model.safetensors";

fn offline() -> Bench {
    let mut bench = Bench::new();
    bench.config.offline = true;
    bench.config.torch_home = Some(bench.folder.path().join("torch"));
    bench.config.hf_home = Some(bench.folder.path().join("hf"));
    fs::create_dir_all(bench.folder.path().join("torch/hub/checkpoints")).unwrap();
    bench
}

fn with_former_name(content: &[u8]) -> Entry {
    let mut entry = entry(&[(NAME, &[NOWHERE], Some(&sha256(content)[..8]))]);
    entry.files[0].former_names = vec![OLD_NAME.to_owned().try_into().unwrap()];
    entry
}

#[test]
fn a_file_of_pytorch_is_used_where_it_is_under_either_name() {
    for name in [NAME, OLD_NAME] {
        let content = body(1);
        let mut bench = offline();
        let path = bench.folder.path().join("torch/hub/checkpoints").join(name);
        fs::write(&path, &content).unwrap();
        assert_eq!(bench.resolve(&with_former_name(&content)).unwrap(), path);
        assert!(!bench.own(NAME).exists(), "it is not copied");
    }
}

#[test]
fn a_damaged_file_of_pytorch_is_named_and_not_used() {
    let content = body(2);
    let served = content.clone();
    let server = Server::start(move |request, _| Reply::file(request, &served, "\"a\""));
    let mut bench = offline();
    let path = bench.folder.path().join("torch/hub/checkpoints").join(NAME);
    let mut damaged = content.clone();
    damaged[1_000_000] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let error = bench
        .resolve(&with_former_name(&content))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&*path.to_string_lossy()) && error.contains("damaged"),
        "{error}"
    );

    bench.config.offline = false;
    bench.watcher.warnings.clear();
    let url = server.url("/w.pth");
    let own = bench
        .resolve(&entry(&[(NAME, &[&url], Some(&sha256(&content)))]))
        .unwrap();
    assert_eq!(own, bench.own(NAME));
    assert!(bench.watcher.warned_of(&path.to_string_lossy()));
    assert_eq!(
        bench.watcher.warnings.len(),
        1,
        "warned once: {:?}",
        bench.watcher.warnings
    );
    assert!(
        fs::read(path).unwrap() == damaged,
        "files of others are left alone"
    );
}

#[test]
fn a_damaged_file_in_the_cache_is_downloaded_again() {
    let content = body(3);
    let served = content.clone();
    let server = Server::start(move |request, _| Reply::file(request, &served, "\"a\""));
    let mut bench = Bench::new();
    bench.expect(&server.url("/w.pth"), &content);
    let mut damaged = content.clone();
    damaged[7] ^= 1;
    fs::write(bench.own(NAME), &damaged).unwrap();
    bench.watcher.finished = 0;
    bench.expect(&server.url("/w.pth"), &content);
    assert!(bench.watcher.warned_of("weights-test.pth`: its SHA-256 is"));
}

#[cfg(unix)]
#[test]
fn a_file_of_hugging_face_is_verified_against_the_name_of_its_blob() {
    let content = body(4);
    let mut bench = offline();
    let repository = bench.folder.path().join("hf/hub/models--timm--x.in1k");
    let (old, new) = (repository.join("snapshots/0ld"), repository.join("snapshots/abc"));
    for folder in [&old, &new, &repository.join("blobs"), &repository.join("refs")] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(repository.join("refs/main"), "abc").unwrap();
    let blob = repository.join("blobs").join(sha256(&content));
    fs::write(&blob, &content).unwrap();
    for folder in [&old, &new] {
        std::os::unix::fs::symlink(&blob, folder.join("model.safetensors")).unwrap();
    }
    let entry = entry(&[("x.safetensors", &[REPO_URL], None)]);
    assert_eq!(bench.resolve(&entry).unwrap(), new.join("model.safetensors"));
    assert!(bench.watcher.warnings.is_empty(), "{:?}", bench.watcher.warnings);

    fs::write(&blob, b"damaged").unwrap();
    let error = bench.resolve(&entry).unwrap_err().to_string();
    assert!(
        error.contains("ignoring `") && error.contains("model.safetensors`: its SHA-256 is"),
        "{error}"
    );
}

#[test]
fn offline_the_error_says_what_to_put_where() {
    let content = body(5);
    let mut bench = offline();
    let error = bench
        .resolve(&with_former_name(&content))
        .unwrap_err()
        .to_string();
    for text in [
        "`b0.test`",
        NOWHERE,
        NAME,
        "torch/hub/checkpoints",
        "hf/hub",
        "cache",
        "offline mode is on",
    ] {
        assert!(error.contains(text), "{text}: {error}");
    }
    fs::create_dir_all(&bench.config.cache).unwrap();
    fs::write(bench.own(NAME), &content).unwrap();
    bench.resolve(&with_former_name(&content)).unwrap();
}

#[test]
fn a_file_is_hashed_once_and_again_after_it_was_written_to() {
    let content = body(6);
    let mut bench = offline();
    fs::create_dir_all(&bench.config.cache).unwrap();
    fs::write(bench.own(NAME), &content).unwrap();
    let entry = with_former_name(&content);
    bench.resolve(&entry).unwrap();
    let records = || {
        fs::read_dir(bench.config.cache.join(".verified"))
            .unwrap()
            .count()
    };
    assert_eq!(records(), 1);
    bench.config.offline = true;
    fs::write(bench.own(NAME), body(7)).unwrap();
    assert!(bench.resolve(&entry).is_err());
}

#[test]
fn present_looks_without_hashing() {
    let bench = offline();
    let hub = Hub::new(bench.config.clone());
    let entry = with_former_name(&body(8));
    assert_eq!(hub.local_file(&entry), None);
    let path = bench.folder.path().join("torch/hub/checkpoints").join(OLD_NAME);
    fs::write(&path, b"anything").unwrap();
    assert_eq!(hub.local_file(&entry), Some(path));
}

/// Returns a cache with a damaged, a partial and an unknown file, together with the manifest.
fn crowded() -> (Bench, Manifest) {
    let bench = Bench::new();
    fs::create_dir_all(&bench.config.cache).unwrap();
    for name in [
        "efficientnet-b0-355c32eb.pth",
        "efficientnet-b1-f1951068.pth.part",
        "mine.bin",
    ] {
        fs::write(bench.own(name), b"content").unwrap();
    }
    fs::write(bench.own("efficientnet-b1-f1951068.pth.part.json"), b"{}").unwrap();
    (bench, Manifest::embedded().unwrap())
}

#[test]
fn the_cache_is_listed_with_entries_and_verified_on_demand() {
    let (bench, manifest) = crowded();
    let hub = Hub::new(bench.config.clone());
    let listed = hub.cached_files(&manifest).unwrap();
    let summary: Vec<_> = listed
        .iter()
        .map(|f| (f.entry.as_deref(), f.bytes, f.verification.clone()))
        .collect();
    assert_eq!(
        summary,
        [
            (Some("b0.imagenet"), 7, Verification::NotChecked),
            (Some("b1.imagenet"), 7, Verification::Partial),
            (None, 7, Verification::NoDigest),
        ]
    );
    let verified = hub.verify_cached(&manifest, |_| {}).unwrap();
    assert!(
        matches!(&verified[0].verification, Verification::Corrupt { expected, .. } if expected.as_str() == "355c32eb")
    );
}

#[test]
fn pruning_removes_what_it_was_asked_to_and_never_known_weights() {
    let (bench, manifest) = crowded();
    let hub = Hub::new(bench.config.clone());
    let nothing = hub.prune(&manifest, &PruneOptions::default()).unwrap();
    assert!(nothing.removed.is_empty());
    let young = PruneOptions::default().with_partial_older_than(Duration::from_secs(3600));
    assert!(hub.prune(&manifest, &young).unwrap().removed.is_empty());

    let all = PruneOptions::default()
        .with_partial_older_than(Duration::ZERO)
        .with_unknown(true)
        .with_dry_run(true);
    assert_eq!(hub.prune(&manifest, &all).unwrap().removed.len(), 3);
    assert_eq!(bench.visible().len(), 4, "a dry run removes nothing");
    let pruned = hub.prune(&manifest, &all.with_dry_run(false)).unwrap();
    assert_eq!(pruned.bytes, 7 + 7 + 2);
    assert_eq!(bench.visible(), ["efficientnet-b0-355c32eb.pth"]);
}

#[cfg(unix)]
#[test]
fn pruning_follows_no_link_out_of_the_cache() {
    let (bench, manifest) = crowded();
    let outside = bench.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious.part"), b"precious").unwrap();
    std::os::unix::fs::symlink(&outside, bench.own("folder")).unwrap();
    std::os::unix::fs::symlink(outside.join("precious.part"), bench.own("link.part")).unwrap();
    let all = PruneOptions::default()
        .with_partial_older_than(Duration::ZERO)
        .with_unknown(true)
        .with_dry_run(false);
    Hub::new(bench.config.clone()).prune(&manifest, &all).unwrap();
    assert_eq!(fs::read(outside.join("precious.part")).unwrap(), b"precious");
}

#[test]
fn a_cache_that_does_not_exist_is_empty() {
    let bench = Bench::new();
    let hub = Hub::new(bench.config.clone());
    assert!(
        hub.cached_files(&Manifest::embedded().unwrap())
            .unwrap()
            .is_empty()
    );
    assert!(!bench.config.cache.exists(), "listing creates nothing");
}

/// Serves the first content once, and the second from then on.
fn changing(first: Vec<u8>, second: Vec<u8>) -> Server {
    Server::start(move |request, index| {
        let content = if index == 0 { &first } else { &second };
        Reply::file(request, content, if index == 0 { "\"a\"" } else { "\"b\"" })
    })
}

#[test]
fn a_short_digest_is_completed_by_the_first_verified_download() {
    // Two files whose digests start with the same digits cannot be made here, so the record is of a third
    // file. What matters is that all of its digits are expected.
    let content = body(30);
    let short = &sha256(&content)[..8];
    let server = changing(content.clone(), content.clone());
    let entry = entry(&[(NAME, &[&server.url("/w.pth")], Some(short))]);
    let mut bench = Bench::new();
    let path = bench.resolve(&entry).unwrap();
    let records = || fs::read_dir(bench.config.cache.join(".verified")).unwrap();
    let record = records().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&record).unwrap();
    assert!(text.contains(&sha256(&content)), "{text}");

    let full = sha256(&content);
    let other = format!("{short}{}", "0".repeat(56));
    fs::write(&record, text.replace(&full, &other)).unwrap();
    fs::remove_file(&path).unwrap();
    let error = bench.resolve(&entry).unwrap_err().to_string();
    assert!(error.contains(&format!("expected SHA-256 {other}")), "{error}");
}

#[cfg(unix)]
#[test]
fn a_record_that_others_could_have_written_is_not_believed() {
    use std::os::unix::fs::PermissionsExt as _;
    let (content, wrong) = (body(31), body(32));
    let server = changing(wrong.clone(), content.clone());
    let wrong_entry = entry(&[(NAME, &[&server.url("/w.pth")], Some(&sha256(&wrong)))]);
    let right_entry = entry(&[(NAME, &[&server.url("/w.pth")], Some(&sha256(&content)))]);
    for (folder_mode, record_mode) in [(0o777, 0o644), (0o755, 0o666)] {
        let mut bench = Bench::new();
        // A wrong file with a fresh record that claims it is right.
        fs::create_dir_all(&bench.config.cache).unwrap();
        fs::write(bench.own(NAME), &wrong).unwrap();
        bench.config.offline = true;
        bench.resolve(&wrong_entry).unwrap();
        let folder = bench.config.cache.join(".verified");
        let record = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
        let text = fs::read_to_string(&record).unwrap();
        fs::write(&record, text.replace(&sha256(&wrong), &sha256(&content))).unwrap();
        assert!(bench.resolve(&right_entry).is_ok(), "the record is believed");
        let hashed = Hub::new(bench.config.clone()).resolve_hashed(&right_entry, &mut ());
        assert!(hashed.is_err(), "hashing finds the wrong file");
        fs::write(&record, text.replace(&sha256(&wrong), &sha256(&content))).unwrap();
        fs::set_permissions(&record, fs::Permissions::from_mode(record_mode)).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(folder_mode)).unwrap();
        let error = bench.resolve(&right_entry).unwrap_err().to_string();
        assert!(error.contains("damaged"), "{error}");
    }
}
