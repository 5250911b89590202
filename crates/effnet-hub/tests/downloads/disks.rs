//! Tests of full and read-only disks, and of links in the cache folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use test_support::skip_for;

use crate::bench::{Bench, NAME, SIZE, body};
use crate::server::{Reply, Server};

/// A small file system in memory, unmounted at the end of the test.
struct Memory(PathBuf);

impl Memory {
    /// Returns `None` if this process is not allowed to mount.
    fn mount(path: &Path, options: &str) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "effnet-test"])
            .arg(path)
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(path.to_owned())),
            Ok(output) => {
                let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                skip_for(&format!(
                    "a test of full or read-only disks mounts a tmpfs, which fails: {reason}"
                ));
                None
            }
            Err(error) => {
                skip_for(&format!(
                    "a test of full or read-only disks needs `mount`: {error}"
                ));
                None
            }
        }
    }

    fn make_read_only(&self) {
        let mount = Command::new("mount")
            .args(["-o", "remount,ro"])
            .arg(&self.0)
            .status()
            .unwrap();
        assert!(mount.success());
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn good_server(content: &[u8]) -> Server {
    let served = content.to_vec();
    Server::start(move |request, _| Reply::file(request, &served, "\"a\""))
}

#[test]
fn a_full_disk_is_named_and_the_download_goes_on_when_there_is_room() {
    let content = body(1);
    let server = good_server(&content);
    let mut bench = Bench::new();
    let Some(memory) = Memory::mount(&bench.config.cache, "size=1m") else {
        return;
    };
    let error = bench
        .fetch(&server.url("/w.pth"), &content)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("free some disk space") && error.contains(&format!("{NAME}.part")),
        "{error}"
    );
    assert!(!bench.own(NAME).exists());

    let grown = Command::new("mount")
        .args(["-o", "remount,size=8m"])
        .arg(&memory.0)
        .status()
        .unwrap();
    assert!(grown.success());
    bench.expect(&server.url("/w.pth"), &content);
    assert!(
        server.requests()[1]
            .range_start()
            .is_some_and(|from| from > SIZE / 4)
    );
}

#[test]
fn a_read_only_cache_serves_what_it_has_and_says_what_it_cannot_do() {
    let content = body(2);
    let server = good_server(&content);
    let mut bench = Bench::new();
    let Some(memory) = Memory::mount(&bench.config.cache, "size=8m") else {
        return;
    };
    bench.expect(&server.url("/w.pth"), &content);
    memory.make_read_only();
    bench.fetch(&server.url("/w.pth"), &content).unwrap();

    let error = bench
        .fetch(&server.url("/other.pth"), &body(3))
        .unwrap_err()
        .to_string();
    assert!(error.contains("choose a writable cache folder"), "{error}");
    assert!(error.contains(&*bench.config.cache.to_string_lossy()), "{error}");
    assert_eq!(
        server.requests().len(),
        1,
        "nothing is downloaded that cannot be stored"
    );
}

#[test]
fn a_cache_that_cannot_be_made_is_named() {
    let content = body(4);
    let mut bench = Bench::new();
    let file = bench.folder.path().join("file");
    fs::write(&file, b"").unwrap();
    bench.config.cache = file.join("cache");
    let error = bench
        .fetch("http://nowhere.invalid/w.pth", &content)
        .unwrap_err()
        .to_string();
    assert!(error.contains("cannot write to the cache folder"), "{error}");
}

#[cfg(unix)]
mod links {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A bench with a file outside the cache that must not change.
    fn bench_with_precious() -> (Bench, PathBuf) {
        let bench = Bench::new();
        let precious = bench.folder.path().join("precious");
        fs::write(&precious, b"precious").unwrap();
        fs::create_dir_all(&bench.config.cache).unwrap();
        (bench, precious)
    }

    #[test]
    fn a_link_under_the_final_name_is_replaced_and_its_target_left_alone() {
        let content = body(5);
        let server = good_server(&content);
        let (mut bench, precious) = bench_with_precious();
        symlink(&precious, bench.own(NAME)).unwrap();
        bench.expect(&server.url("/w.pth"), &content);
        assert_eq!(fs::read(precious).unwrap(), b"precious");
        assert!(!fs::symlink_metadata(bench.own(NAME)).unwrap().is_symlink());
    }

    #[test]
    fn a_link_under_the_name_of_a_part_or_a_lock_is_refused() {
        for name in [
            format!("{NAME}.part"),
            format!("{NAME}.part.json"),
            format!(".locks/{NAME}.lock"),
        ] {
            let content = body(6);
            let server = good_server(&content);
            let (mut bench, precious) = bench_with_precious();
            fs::create_dir_all(bench.own(".locks")).unwrap();
            symlink(&precious, bench.own(&name)).unwrap();
            let error = bench
                .fetch(&server.url("/w.pth"), &content)
                .unwrap_err()
                .to_string();
            assert!(error.contains("a symbolic link"), "{name}: {error}");
            assert_eq!(fs::read(precious).unwrap(), b"precious");
            assert!(!bench.own(NAME).exists());
        }
    }

    #[test]
    fn a_link_to_the_right_file_is_used() {
        let content = body(7);
        let mut bench = Bench::new();
        fs::create_dir_all(&bench.config.cache).unwrap();
        let shared = bench.folder.path().join("shared.pth");
        fs::write(&shared, &content).unwrap();
        symlink(&shared, bench.own(NAME)).unwrap();
        bench.fetch("http://nowhere.invalid/w.pth", &content).unwrap();
    }
}
