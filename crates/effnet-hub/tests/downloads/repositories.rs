//! Tests of `hf-hub:owner/name`: which files are fetched, and what a folder in a cache spares.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use effnet_hub::{Hub, Manifest, PruneOptions, RepositoryName, Verification};

use crate::bench::{Bench, body};
use crate::server::{Reply, Server};

/// A server with these files of `someone/net`.
fn server(files: &[(&'static str, Vec<u8>)]) -> Server {
    let files = files.to_vec();
    Server::start(move |request, _| {
        let path = request.target.strip_prefix("/someone/net/resolve/main/");
        match files.iter().find(|(name, _)| path == Some(*name)) {
            Some((_, content)) => Reply::file(request, content, "\"a\""),
            None => Reply::status(404),
        }
    })
}

fn name() -> RepositoryName {
    "hf-hub:someone/net".parse().unwrap()
}

#[test]
fn settings_and_weights_are_downloaded_once_into_one_folder() {
    let content = body(1);
    let server = server(&[
        ("config.json", b"{}".to_vec()),
        ("model.safetensors", content.clone()),
    ]);
    let mut bench = Bench::new();
    bench.config.mirror = Some(server.url(""));
    let hub = Hub::new(bench.config.clone());
    let folder = hub.resolve_repository(&name(), &mut bench.watcher).unwrap();
    assert!(folder.starts_with(&bench.config.cache));
    assert_eq!(fs::read(folder.join("config.json")).unwrap(), b"{}");
    assert!(fs::read(folder.join("model.safetensors")).unwrap() == content);
    assert!(!folder.join("preprocessor_config.json").exists());
    let requests = server.requests().len();
    bench.config.offline = true;
    let hub = Hub::new(bench.config.clone());
    assert_eq!(
        hub.resolve_repository(&name(), &mut bench.watcher).unwrap(),
        folder
    );
    assert_eq!(server.requests().len(), requests);
}

#[test]
fn a_snapshot_of_hugging_face_is_used_in_place() {
    let mut bench = Bench::new();
    let home = bench.folder.path().join("hf");
    let snapshot = home.join("hub/models--someone--net/snapshots/0123abcd");
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(home.join("hub/models--someone--net/refs")).unwrap();
    fs::write(home.join("hub/models--someone--net/refs/main"), "0123abcd").unwrap();
    fs::write(snapshot.join("pytorch_model.bin"), "weights").unwrap();
    bench.config.hf_home = Some(home);
    bench.config.offline = true;
    let hub = Hub::new(bench.config.clone());
    assert_eq!(
        hub.resolve_repository(&name(), &mut bench.watcher).unwrap(),
        snapshot
    );
    let commit: RepositoryName = "hf-hub:someone/net@0123abcd".parse().unwrap();
    assert_eq!(
        hub.resolve_repository(&commit, &mut bench.watcher).unwrap(),
        snapshot
    );
}

#[test]
fn what_is_missing_is_named() {
    let empty = server(&[("config.json", b"{}".to_vec())]);
    let mut bench = Bench::new();
    bench.config.mirror = Some(empty.url(""));
    let hub = Hub::new(bench.config.clone());
    let error = hub.resolve_repository(&name(), &mut bench.watcher).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("neither model.safetensors nor pytorch_model.bin"),
        "{error}"
    );

    let closed = Server::start(|_, _| Reply::status(401));
    bench.config.mirror = Some(closed.url(""));
    let hub = Hub::new(bench.config.clone());
    let other: RepositoryName = "hf-hub:someone/private".parse().unwrap();
    let error = hub
        .resolve_repository(&other, &mut bench.watcher)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("hf-hub:someone/private@main") && error.contains("401"),
        "{error}"
    );

    bench.config.offline = true;
    let hub = Hub::new(bench.config.clone());
    let error = hub
        .resolve_repository(&other, &mut bench.watcher)
        .unwrap_err()
        .to_string();
    assert!(error.contains("offline mode is on"), "{error}");
}

/// A server of `someone/net` whose branch `main` is the commit in the cell, with weights of its own in each commit.
fn moving(commit: &Arc<Mutex<String>>) -> Server {
    let commit = Arc::clone(commit);
    Server::start(move |request, _| {
        let main = commit.lock().unwrap().clone();
        if main.is_empty() {
            return Reply::status(503);
        }
        let rest = request.target.strip_prefix("/someone/net/resolve/").unwrap();
        let (revision, file) = rest.split_once('/').unwrap();
        let revision = if revision == "main" { &main } else { revision };
        let reply = match file {
            "config.json" => Reply::file(request, b"{}", "\"c\""),
            "model.safetensors" => Reply::file(request, revision.as_bytes(), "\"a\""),
            _ => Reply::status(404),
        };
        reply.header("X-Repo-Commit", revision)
    })
}

#[test]
fn a_branch_that_moved_is_downloaded_again_and_never_mixed() {
    let (first, second) = ("1".repeat(40), "2".repeat(40));
    let commit = Arc::new(Mutex::new(first.clone()));
    let server = moving(&commit);
    let mut bench = Bench::new();
    bench.config.mirror = Some(server.url(""));
    let hub = Hub::new(bench.config.clone());
    let weights = |folder: &Path| fs::read_to_string(folder.join("model.safetensors")).unwrap();
    let old = hub.resolve_repository(&name(), &mut bench.watcher).unwrap();
    assert_eq!(weights(&old), first);
    // Asking whether it moved is all that the same commit costs.
    let before = server.requests().len();
    assert_eq!(hub.resolve_repository(&name(), &mut bench.watcher).unwrap(), old);
    assert_eq!(server.requests().len(), before + 1);

    commit.lock().unwrap().clone_from(&second);
    let new = hub.resolve_repository(&name(), &mut bench.watcher).unwrap();
    assert_eq!((weights(&new), weights(&old)), (second.clone(), first.clone()));
    // A commit cannot move, so nobody is asked.
    let before = server.requests().len();
    let pinned: RepositoryName = format!("hf-hub:someone/net@{first}").parse().unwrap();
    assert_eq!(hub.resolve_repository(&pinned, &mut bench.watcher).unwrap(), old);
    assert_eq!(server.requests().len(), before);

    // Without an answer, and offline, the newest copy is used.
    assert!(!bench.watcher.warned_of("may not be the newest"));
    commit.lock().unwrap().clear();
    assert_eq!(hub.resolve_repository(&name(), &mut bench.watcher).unwrap(), new);
    assert!(
        bench
            .watcher
            .warned_of("hf-hub:someone/net@main, which may not be the newest")
    );
    bench.config.offline = true;
    let hub = Hub::new(bench.config.clone());
    let before = server.requests().len();
    assert_eq!(hub.resolve_repository(&name(), &mut bench.watcher).unwrap(), new);
    assert_eq!(server.requests().len(), before);
}

/// An update that fails leaves the copy that there was, for use without a network.
#[test]
fn an_interrupted_update_keeps_the_copy_before_it() {
    let (first, second) = ("1".repeat(40), "2".repeat(40));
    let served = first.clone();
    let commit = Arc::new(Mutex::new(first));
    let main = Arc::clone(&commit);
    let server = Server::start(move |request, _| {
        let commit = main.lock().unwrap().clone();
        let reply = if request.target.contains(&served) && request.target.ends_with("/model.safetensors") {
            Reply::file(request, b"weights", "\"a\"")
        } else {
            Reply::status(404)
        };
        reply.header("X-Repo-Commit", &commit)
    });
    let mut bench = Bench::new();
    bench.config.mirror = Some(server.url(""));
    let hub = Hub::new(bench.config.clone());
    let old = hub.resolve_repository(&name(), &mut bench.watcher).unwrap();
    commit.lock().unwrap().clone_from(&second);
    let error = hub.resolve_repository(&name(), &mut bench.watcher).unwrap_err();
    assert!(error.to_string().contains("neither model.safetensors"), "{error}");
    bench.config.offline = true;
    let hub = Hub::new(bench.config.clone());
    assert_eq!(hub.resolve_repository(&name(), &mut bench.watcher).unwrap(), old);
}

#[test]
fn repositories_are_listed_verified_and_pruned() {
    let commit = Arc::new(Mutex::new("1".repeat(40)));
    let server = moving(&commit);
    let mut bench = Bench::new();
    bench.config.mirror = Some(server.url(""));
    let hub = Hub::new(bench.config.clone());
    let manifest = Manifest::embedded().unwrap();
    let folder = hub.resolve_repository(&name(), &mut bench.watcher).unwrap();
    fs::write(folder.join("pytorch_model.bin.part"), "half").unwrap();
    let id = format!("hf-hub:someone/net@{}", "1".repeat(40));
    let files = hub.cached_files(&manifest).unwrap();
    let listed: Vec<_> = files
        .iter()
        .map(|file| (file.name.as_str(), file.repository.as_deref(), file.bytes))
        .collect();
    let expected = [
        ("config.json", Some(id.as_str()), 2),
        ("model.safetensors", Some(id.as_str()), 40),
        ("pytorch_model.bin.part", Some(id.as_str()), 4),
    ];
    assert_eq!(listed, expected);
    fs::write(folder.join("model.safetensors"), "3".repeat(40)).unwrap();
    let verified = hub.verify_cached(&manifest, |_| {}).unwrap();
    assert!(
        matches!(verified[1].verification, Verification::Corrupt { .. }),
        "{verified:?}"
    );

    let abandoned = PruneOptions::default().with_partial_older_than(Duration::ZERO);
    let pruned = hub.prune(&manifest, &abandoned).unwrap();
    assert_eq!(pruned.removed, [folder.join("pytorch_model.bin.part")]);
    let dry = hub.prune(&manifest, &abandoned.with_unknown(true).with_dry_run(true));
    assert_eq!(dry.unwrap().removed.len(), 2);
    assert!(folder.join("model.safetensors").exists());
    let pruned = hub.prune(&manifest, &abandoned.with_unknown(true)).unwrap();
    assert_eq!((pruned.removed.len(), pruned.bytes), (2, 42));
    assert!(!folder.exists());
    assert_eq!(hub.cached_files(&manifest).unwrap(), []);
}

/// What another process downloads right now is not removed under it.
#[cfg(unix)]
#[test]
fn a_repository_in_use_is_not_pruned() {
    let commit = Arc::new(Mutex::new("1".repeat(40)));
    let server = moving(&commit);
    let mut bench = Bench::new();
    bench.config.mirror = Some(server.url(""));
    let hub = Hub::new(bench.config.clone());
    let manifest = Manifest::embedded().unwrap();
    let folder = hub.resolve_repository(&name(), &mut bench.watcher).unwrap();
    let lock = fs::OpenOptions::new()
        .write(true)
        .open(folder.join(".locks/model.safetensors.lock"))
        .unwrap();
    lock.lock().unwrap();
    let all = PruneOptions::default().with_unknown(true);
    assert_eq!(hub.prune(&manifest, &all).unwrap().removed.len(), 0);
    lock.unlock().unwrap();
    assert_eq!(hub.prune(&manifest, &all).unwrap().removed.len(), 2);
}
