//! Tests of concurrent and killed processes.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::bench::{Bench, NAME, SIZE, Watcher, body, entry, impatient, sha256};
use crate::server::{Reply, Server};

const URL: &str = "EFFNET_HUB_TEST_URL";
const SHA256: &str = "EFFNET_HUB_TEST_SHA256";
const CACHE: &str = "EFFNET_HUB_TEST_CACHE";

/// The body of the processes below: this test program runs itself with only this test.
#[test]
#[ignore = "the other tests run it as a process of its own"]
fn one_process() {
    let of = |name| std::env::var(name).unwrap_or_default();
    let (url, cache) = (of(URL), of(CACHE));
    if cache.is_empty() {
        return;
    }
    let config = impatient(cache.as_ref());
    let entry = entry(&[(NAME, &[&url], Some(&of(SHA256)))]);
    let mut watcher = Watcher::default();
    effnet_hub::Hub::new(config)
        .resolve(&entry, &mut watcher)
        .unwrap();
}

fn spawn(bench: &Bench, url: &str, content: &[u8]) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processes::one_process", "--ignored"])
        .env(URL, url)
        .env(SHA256, sha256(content))
        .env(CACHE, &bench.config.cache)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_killed_process_leaves_a_part_that_the_next_one_continues() {
    let content = body(1);
    let served = content.clone();
    let server = Server::start(move |request, index| {
        let slow = (index == 0).then_some(Duration::from_millis(50));
        Reply {
            slow,
            ..Reply::file(request, &served, "\"a\"")
        }
    });
    let mut bench = Bench::new();
    let url = server.url("/w.pth");
    let mut child = spawn(&bench, &url, &content);
    let part = bench.own(&format!("{NAME}.part"));
    let start = Instant::now();
    while fs::metadata(&part).map_or(0, |metadata| metadata.len()) < SIZE as u64 / 3 {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "the child downloads nothing"
        );
        thread::sleep(Duration::from_millis(5));
    }
    // SIGKILL on Unix.
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!bench.own(NAME).exists());

    bench.expect(&url, &content);
    let from = server.requests()[1].range_start().unwrap();
    assert!((SIZE / 3..SIZE).contains(&from), "continued at {from}");
    assert_eq!(bench.watcher.advanced as usize, SIZE - from);
}

#[test]
fn eight_processes_fetch_a_file_once() {
    let content = body(2);
    let served = content.clone();
    let server = Server::start(move |request, _| {
        let slow = Some(Duration::from_millis(10));
        Reply {
            slow,
            ..Reply::file(request, &served, "\"a\"")
        }
    });
    let bench = Bench::new();
    let url = server.url("/w.pth");
    let children: Vec<_> = (0..8).map(|_| spawn(&bench, &url, &content)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(server.requests().len(), 1);
    assert!(fs::read(bench.own(NAME)).unwrap() == content);
    assert_eq!(bench.visible(), [NAME]);
}

#[test]
fn threads_that_share_a_hub_fetch_a_file_once() {
    let content = body(3);
    let served = content.clone();
    let server = Server::start(move |request, _| {
        let slow = Some(Duration::from_millis(5));
        Reply {
            slow,
            ..Reply::file(request, &served, "\"a\"")
        }
    });
    let bench = Bench::new();
    let hub = effnet_hub::Hub::new(bench.config.clone());
    let url = server.url("/w.pth");
    let entry = entry(&[(NAME, &[&url], Some(&sha256(&content)))]);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| hub.resolve(&entry, &mut ()).unwrap());
        }
    });
    assert_eq!(server.requests().len(), 1);
}
