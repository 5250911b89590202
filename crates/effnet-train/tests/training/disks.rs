//! Disks that are full or cannot be written to.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use effnet::ModelMetadata;
use effnet_train::{Checkpointer, Error};
use serde_json::json;
use test_support::skip;

use crate::checkpoints::{checkpointer, snapshot, trainer};
use crate::{batch, turn};

/// A small file system in memory, unmounted at the end of the test.
struct Memory(PathBuf);

impl Memory {
    /// `None` where this process may not mount.
    fn mount(test: &str, path: &Path) -> Option<Self> {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "effnet-test"])
            .arg(path)
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(path.to_owned())),
            Ok(output) => {
                skip(
                    test,
                    &format!(
                        "a tmpfs cannot be mounted: {}",
                        String::from_utf8_lossy(&output.stderr).trim()
                    ),
                );
                None
            }
            Err(error) => {
                skip(test, &format!("`mount` cannot be run: {error}"));
                None
            }
        }
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let mount = Command::new("mount")
            .args(["-o", &options])
            .arg(&self.0)
            .status()
            .unwrap();
        assert!(mount.success());
    }

    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = File::create(&path).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        path
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn saved_step(folder: &Path) -> u64 {
    let snapshot = checkpointer(folder)
        .resume(&json!({"lr": 0.05}), &[])
        .unwrap()
        .unwrap();
    snapshot.trainer.position.step
}

fn says_what_did_not_fit(error: &Error, name: &str, folder: &Path) {
    let (error, kept) = (error.to_string(), folder.join("last.state"));
    assert!(
        error.contains("No space left") && error.contains(&format!("{name}: cannot write")),
        "{error}"
    );
    assert!(
        error.ends_with(&format!("the last good checkpoint is intact: {}", kept.display())),
        "{error}"
    );
}

#[test]
fn a_full_disk_leaves_the_last_good_checkpoint_and_says_so() {
    let turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let Some(memory) = Memory::mount(
        "a_full_disk_leaves_the_last_good_checkpoint_and_says_so",
        folder.path(),
    ) else {
        return;
    };
    let mut trainer = trainer(&turn);
    let mut checkpointer = checkpointer(folder.path());
    checkpointer.save(&snapshot(&trainer), true).unwrap();
    let filler = memory.fill();
    trainer.step(&[batch(0, 8)]).unwrap();
    let error = checkpointer.save(&snapshot(&trainer), true).unwrap_err();
    says_what_did_not_fit(&error, "last.state", folder.path());
    fs::remove_file(filler).unwrap();
    assert_eq!(saved_step(folder.path()), 0);
    checkpointer.save(&snapshot(&trainer), true).unwrap();
    assert_eq!(saved_step(folder.path()), 1);
}

#[test]
fn weights_that_do_not_fit_beside_the_first_state_are_written_on_resume() {
    let turn = turn();
    let (folder, roomy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let test = "weights_that_do_not_fit_beside_the_first_state_are_written_on_resume";
    let Some(memory) = Memory::mount(test, folder.path()) else {
        return;
    };
    let snapshot = snapshot(&trainer(&turn));
    checkpointer(roomy.path()).save(&snapshot, true).unwrap();
    let state = roomy.path().join("last.state").metadata().unwrap().len();
    let mut checkpointer = checkpointer(folder.path());
    let filler = memory.fill();
    let file = File::options().write(true).open(&filler).unwrap();
    let pages = state.div_ceil(4096) + 1;
    file.set_len(file.metadata().unwrap().len() - pages * 4096)
        .unwrap();
    drop(file);
    let error = checkpointer.save(&snapshot, true).unwrap_err();
    says_what_did_not_fit(&error, "best.safetensors", folder.path());
    fs::remove_file(filler).unwrap();
    assert_eq!(saved_step(folder.path()), 0);
    for name in ["best.safetensors", "last.safetensors"] {
        let [written, expected] = [&folder, &roomy].map(|folder| fs::read(folder.path().join(name)).unwrap());
        assert!(written == expected, "{name}");
    }
}

#[test]
fn a_read_only_disk_leaves_the_last_good_checkpoint_and_says_so() {
    let turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let test = "a_read_only_disk_leaves_the_last_good_checkpoint_and_says_so";
    let Some(memory) = Memory::mount(test, folder.path()) else {
        return;
    };
    let trainer = trainer(&turn);
    let mut checkpointer = checkpointer(folder.path());
    checkpointer.save(&snapshot(&trainer), false).unwrap();
    memory.remount("ro");
    let error = checkpointer
        .save(&snapshot(&trainer), false)
        .unwrap_err()
        .to_string();
    assert!(error.contains("Read-only file system"), "{error}");
    assert!(error.contains("the last good checkpoint is intact"), "{error}");
    assert_eq!(saved_step(folder.path()), 0);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "in the way").unwrap();
    let error = Checkpointer::new(path.join("run"), ModelMetadata::default()).unwrap_err();
    assert!(
        matches!(&error, Error::Folder { path: named, .. } if *named == path.join("run")),
        "{error}"
    );
}

#[test]
fn a_failure_before_the_first_checkpoint_says_that_there_is_none() {
    let turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let mut checkpointer = checkpointer(&folder.path().join("run"));
    fs::remove_dir(folder.path().join("run")).unwrap();
    let error = checkpointer
        .save(&snapshot(&trainer(&turn)), false)
        .unwrap_err()
        .to_string();
    assert!(error.ends_with("no checkpoint has been saved yet"), "{error}");
}
