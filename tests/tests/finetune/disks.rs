//! Runs on disks that are full or cannot be written to.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use effnet_tests::{interrupt, names_in, skip};

use super::resume::{results, start, wait_for_steps};
use super::{Home, QUICK, resuming, succeeded};

/// A small file system in memory, unmounted at the end of the test.
struct Memory(PathBuf);

impl Memory {
    /// `None` where this process may not mount.
    fn mount(test: &str, path: &Path) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=300m", "effnet-test"])
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

fn fill(disk: &Path) {
    let mut file = File::create(disk.join("filler")).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
}

/// Leaves so many bytes free.
fn fill_but(disk: &Path, room: u64) {
    fill(disk);
    let file = File::options().write(true).open(disk.join("filler")).unwrap();
    file.set_len(file.metadata().unwrap().len() - room).unwrap();
}

fn free(disk: &Path) {
    fs::remove_file(disk.join("filler")).unwrap();
}

/// One epoch in `disk/run`, then what `spoil` does to the disk, then three more epochs, which must stop with a
/// reason that has `reason` in it and leave the first epoch's checkpoint to go on from, to the end that it would have
/// come to without.
fn stops_and_goes_on(test: &str, reason: &str, spoil: impl Fn(&Path), mend: impl Fn(&Path)) {
    let home = Home::with_photos(6);
    let disk = home.path("disk");
    let Some(_memory) = Memory::mount(test, &disk) else {
        return;
    };
    let arguments = |output| [&QUICK[..], &["--epochs", "4", "--output", output]].concat();
    let mut child = start(&mut home.command(&arguments("disk/run")));
    wait_for_steps(&mut child, &home.path("disk/run/log.jsonl"), 1);
    interrupt(&child);
    assert_eq!(
        child.wait().unwrap().code(),
        Some(130),
        "it was interrupted before its end"
    );
    let weights = fs::read(home.path("disk/run/last.safetensors")).unwrap();

    spoil(&disk);
    let run = home.resume("disk/run", &[]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(run.stderr.contains(reason), "{reason} in {}", run.stderr);
    assert!(fs::read(home.path("disk/run/last.safetensors")).unwrap() == weights);

    mend(&disk);
    succeeded(&home.resume("disk/run", &[]));
    succeeded(&home.run(&arguments("whole")));
    assert_eq!(results(&home.path("disk/run")), results(&home.path("whole")));
}

#[test]
fn a_run_on_a_full_disk_stops_and_goes_on_when_there_is_room() {
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

#[test]
fn a_run_whose_first_checkpoints_do_not_fit_ends_as_one_that_had_room() {
    let home = Home::with_photos(6);
    let disk = home.path("disk");
    let test = "a_run_whose_first_checkpoints_do_not_fit_ends_as_one_that_had_room";
    let Some(_memory) = Memory::mount(test, &disk) else {
        return;
    };
    let arguments = |output| [&QUICK[..], &["--report", "false", "--output", output]].concat();
    succeeded(&home.run(&arguments("whole")));
    let size = |name| fs::metadata(home.path("whole").join(name)).unwrap().len();
    let (state, weights) = (size("last.state"), size("last.safetensors"));
    let resume = resuming("disk/run");
    // A state and the last weights are written before the first step, and again after the first epoch, with the best ones
    // between them. Each is complete before it replaces another, so after a state, which is larger, weights fit.
    for (room, files, again) in [
        (state / 2, [false, false, false], &arguments("disk/run")[..]),
        // Without settings, it is not yet a run.
        (state + weights / 2, [true, false, false], &arguments("disk/run")),
        (state + weights + state / 2, [true, false, true], &resume),
    ] {
        fill_but(&disk, room);
        let run = home.run(&arguments("disk/run"));
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(run.stderr.contains("No space left"), "{}", run.stderr);
        let names = ["last.state", "best.safetensors", "last.safetensors"];
        let left = names.map(|name| home.path("disk/run").join(name).exists());
        assert_eq!(left, files, "{}", run.stderr);
        free(&disk);
        succeeded(&home.run(again));
        assert_eq!(results(&home.path("disk/run")), results(&home.path("whole")));
        fs::remove_dir_all(home.path("disk/run")).unwrap();
    }
}

#[test]
fn a_report_on_a_full_disk_leaves_the_run_and_the_last_report_as_they_are() {
    let home = Home::with_photos(6);
    let disk = home.path("disk");
    let test = "a_report_on_a_full_disk_leaves_the_run_and_the_last_report_as_they_are";
    let Some(_memory) = Memory::mount(test, &disk) else {
        return;
    };
    let run = home.path("disk/run");
    succeeded(&home.train(&["--epochs", "1", "--output", "disk/run", "--report", "true"]));
    let (report, before) = (fs::read(run.join("report.html")).unwrap(), names_in(&run));

    fill(&disk);
    let refused = home.run(&["report", "disk/run"]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    let words = ["No space left", "disk/run/"];
    assert!(
        words.iter().all(|word| refused.stderr.contains(word)),
        "{}",
        refused.stderr
    );
    assert_eq!(names_in(&run), before);
    assert!(fs::read(run.join("report.html")).unwrap() == report);

    free(&disk);
    fs::remove_file(run.join("report.html")).unwrap();
    succeeded(&home.run(&["report", "disk/run"]));
    assert_eq!(names_in(&run), before);
}

#[test]
fn a_run_whose_report_cannot_be_written_has_succeeded() {
    let home = Home::with_photos(6);
    succeeded(&home.train(&["--epochs", "1", "--output", "run", "--report", "false"]));
    // A folder where the page should be.
    fs::create_dir_all(home.path("run/report.html/folder")).unwrap();
    let run = home.run(&["train", "--resume", "run", "--epochs", "2", "--report", "true"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    for word in ["no report.html: ", "try `effnet report run`"] {
        assert!(run.stderr.contains(word), "{word} in {}", run.stderr);
    }
    succeeded(&home.run(&["inspect", "run/best.safetensors"]));
}
