//! Tests of `hf-hub:owner/name`: which files are fetched, and what a folder in a cache spares.

use std::fs;

use effnet_hub::{Hub, RepositoryName};

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
