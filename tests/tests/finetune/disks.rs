//! Runs on disks that are full or cannot be written to.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use effnet_tests::{interrupt, skip};

use super::resume::{start, wait_for_steps};
use super::{Home, QUICK, succeeded};

/// A small file system in memory, unmounted at the end of the test.
struct Memory(PathBuf);

impl Memory {
    /// `None` where this process may not mount.
    fn mount(test: &str, path: &Path) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=200m", "effnet-test"])
            .arg(path)
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(path.to_owned())),
            other => {
                skip(test, &format!("a tmpfs cannot be mounted: {other:?}"));
                None
            }
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// One epoch in `disk/run`, then what `spoil` does to the disk, then three more epochs, which must stop with a
/// reason that has `reason` in it and leave the first epoch's checkpoint to go on from.
fn stops_and_goes_on(test: &str, reason: &str, spoil: impl Fn(&Path), mend: impl Fn(&Path)) {
    let home = Home::with_photos(6);
    let disk = home.path("disk");
    let Some(_memory) = Memory::mount(test, &disk) else {
        return;
    };
    let more = ["--output", "disk/run", "--epochs", "4"];
    let quick = [&QUICK[..], &more].concat();
    let mut child = start(&mut home.command(&quick));
    wait_for_steps(&mut child, &home.path("disk/run/log.jsonl"), 1);
    interrupt(&child);
    assert_eq!(
        child.wait().unwrap().code(),
        Some(130),
        "it was interrupted before its end"
    );
    let weights = fs::read(home.path("disk/run/last.safetensors")).unwrap();

    spoil(&disk);
    let run = home.run(&["train", "--resume", "disk/run"]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(run.stderr.contains(reason), "{reason} in {}", run.stderr);
    assert!(fs::read(home.path("disk/run/last.safetensors")).unwrap() == weights);

    mend(&disk);
    succeeded(&home.run(&["train", "--resume", "disk/run"]));
    succeeded(&home.run(&["inspect", "disk/run/last.safetensors"]));
}

#[test]
fn a_run_on_a_full_disk_stops_and_goes_on_when_there_is_room() {
    let fill = |disk: &Path| {
        let mut file = File::create(disk.join("filler")).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    };
    let free = |disk: &Path| fs::remove_file(disk.join("filler")).unwrap();
    stops_and_goes_on(
        "a_run_on_a_full_disk_stops_and_goes_on_when_there_is_room",
        "No space left",
        fill,
        free,
    );
}

#[test]
fn a_run_on_a_read_only_disk_stops_and_goes_on_when_it_may_write() {
    let remount = |disk: &Path, options: &str| {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(disk)
            .status();
        assert!(status.unwrap().success());
    };
    stops_and_goes_on(
        "a_run_on_a_read_only_disk_stops_and_goes_on_when_it_may_write",
        "Read-only file system",
        |disk| remount(disk, "ro"),
        |disk| remount(disk, "rw"),
    );
}
