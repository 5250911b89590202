//! What `scripts/install` and `scripts/package` leave where a user has it, from programs that are already built.

#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use effnet_tests::{Finished, checkout, finish, programs, ship};

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn script(name: &str) -> Command {
    Command::new(checkout().join("scripts").join(name))
}

/// Installs what this test was built with.
fn install(prefix: &Path, options: &[&str]) -> Finished {
    let mut call = script("install");
    call.arg("--from").arg(programs()).arg("--prefix").arg(prefix);
    let done = finish(call.args(options));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(done.stdout, "");
    done
}

fn uninstall(prefix: &Path) -> Finished {
    finish(script("install").arg("--uninstall").arg("--prefix").arg(prefix))
}

/// A call of an installed program by a user who has nothing else: no environment, and no home to write to.
fn bare(prefix: &Path, program: &str) -> Command {
    let mut call = Command::new(prefix.join("bin").join(program));
    call.env_clear().env("HOME", "/nonexistent").current_dir("/");
    call
}

fn succeeded(call: &mut Command) -> String {
    let done = finish(call);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.stdout
}

fn finds_the_ship(prefix: &Path, options: &[&str]) {
    let mut call = bare(prefix, "effnet");
    call.arg("classify").arg(ship()).args(["--model", "b0.cifar10"]);
    let answer = succeeded(call.args(["--format", "json"]).args(options));
    let record: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(record["predictions"][0]["label"], "ship");
}

/// Every file below a folder, by its path relative to it.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_owned());
            }
        }
    }
    found
}

#[test]
fn an_installation_works_wherever_it_is_moved_and_is_removed_without_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("a prefix");
    let done = install(&prefix, &[]);
    assert!(done.stderr.contains("is not in PATH"), "{}", done.stderr);
    let moved = folder.path().join("moved");
    fs::rename(&prefix, &moved).unwrap();

    let version = succeeded(bare(&moved, "effnet").arg("--version"));
    assert_eq!(version.trim_end(), format!("effnet {VERSION}"));
    finds_the_ship(&moved, &[]);
    let page = succeeded(bare(&moved, "effnet").arg("man"));
    let share = moved.join("share");
    assert_eq!(fs::read_to_string(share.join("man/man1/effnet.1")).unwrap(), page);
    for file in [
        "man/man1/effnet-classify.1",
        "man/man1/effnet-cache-list.1",
        "bash-completion/completions/effnet",
        "zsh/site-functions/_effnet",
        "fish/vendor_completions.d/effnet.fish",
    ] {
        assert!(
            fs::read_to_string(share.join(file)).unwrap().contains("effnet"),
            "{file}"
        );
    }
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
        let installed = fs::read(share.join("doc/effnet").join(licence)).unwrap();
        assert_eq!(installed, fs::read(checkout().join(licence)).unwrap());
    }
    // Nothing but what the list names, so that nothing else is left either.
    let list = fs::read_to_string(share.join("doc/effnet/installed-files")).unwrap();
    let listed = list.lines().filter(|line| !line.ends_with('/'));
    assert_eq!(files(&moved), listed.map(PathBuf::from).collect());

    let removed = uninstall(&moved);
    assert_eq!(removed.code, Some(0), "{}", removed.stderr);
    assert!(!moved.exists());
}

#[test]
fn installing_twice_replaces_what_is_there_and_uninstalling_leaves_the_files_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path();
    fs::create_dir(prefix.join("bin")).unwrap();
    fs::write(prefix.join("bin/other"), "somebody else's").unwrap();
    install(prefix, &[]);
    let first = files(prefix);
    // An older version had a page more, and its program was another one.
    let list = prefix.join("share/doc/effnet/installed-files");
    let old = "share/man/man1/effnet-older.1\n";
    fs::write(&list, old.to_owned() + &fs::read_to_string(&list).unwrap()).unwrap();
    fs::write(prefix.join(old.trim_end()), "older").unwrap();
    fs::write(prefix.join("bin/effnet"), "older").unwrap();
    install(prefix, &[]);
    assert_eq!(files(prefix), first);
    finds_the_ship(prefix, &[]);

    assert_eq!(uninstall(prefix).code, Some(0));
    assert_eq!(files(prefix), BTreeSet::from(["bin/other".into()]));
    assert!(!prefix.join("share").exists());
    let again = uninstall(prefix);
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("nothing to uninstall"), "{}", again.stderr);
}

#[test]
fn a_damaged_list_removes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("prefix");
    let outside = folder.path().join("outside");
    fs::write(&outside, "").unwrap();
    install(&prefix, &[]);
    let list = prefix.join("share/doc/effnet/installed-files");
    for path in ["../outside".to_owned(), outside.display().to_string()] {
        fs::write(&list, format!("bin/effnet\n{path}\n")).unwrap();
        let refused = uninstall(&prefix);
        assert_eq!(refused.code, Some(1));
        assert!(refused.stderr.contains("is damaged"), "{}", refused.stderr);
        assert!(outside.exists() && prefix.join("bin/effnet").exists());
    }
}

#[test]
fn without_a_program_to_install_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut call = script("install");
    call.arg("--from").arg(folder.path());
    let refused = finish(call.arg("--prefix").arg(folder.path().join("prefix")));
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("expected a program named effnet"),
        "{}",
        refused.stderr
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn effnet_torch_takes_its_libtorch_along() {
    let folder = tempfile::tempdir().unwrap();
    // What the system says of a path has no links in it.
    let folder = folder.path().canonicalize().unwrap();
    let prefix = folder.join("prefix");
    let done = install(&prefix, &["--torch"]);
    assert!(done.stderr.contains("copying libtorch"), "{}", done.stderr);
    let moved = folder.join("moved");
    fs::rename(&prefix, &moved).unwrap();

    let environment = succeeded(bare(&moved, "effnet").args(["env", "--format", "json"]));
    let environment: serde_json::Value = serde_json::from_str(&environment).unwrap();
    let at = |path: &str| serde_json::json!(moved.join(path));
    assert_eq!(environment["effnet_torch"], at("bin/effnet-torch"));
    assert_eq!(environment["libtorch_folder"], at("lib/effnet"));
    finds_the_ship(&moved, &["--engine", "plain"]);

    // An effnet-torch of another build than effnet's would refuse to work with it.
    let again = install(&moved, &[]);
    assert!(again.stderr.contains("installing both"), "{}", again.stderr);
    assert!(moved.join("bin/effnet-torch").exists());
    assert_eq!(uninstall(&moved).code, Some(0));
    assert!(!moved.exists());
}

#[test]
fn an_archive_is_the_same_each_time_and_works_where_it_is_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let pack = |output: &str| {
        let output = folder.path().join(output);
        let mut call = script("package");
        call.arg("--from").arg(programs()).arg("--output").arg(&output);
        // The checkout may be no clone, and the tests are offline.
        call.env("SOURCE_DATE_EPOCH", "1700000000")
            .env("CARGO_NET_OFFLINE", "true");
        succeeded(&mut call);
        output
    };
    let (first, second) = (pack("first"), pack("second"));
    let written = files(&first);
    let name = written.first().unwrap().to_str().unwrap();
    assert!(
        name.starts_with(&format!("effnet-{VERSION}-")) && name.ends_with(".tar.gz"),
        "{written:?}"
    );
    assert!(fs::read(first.join(name)).unwrap() == fs::read(second.join(name)).unwrap());
    let mut check = Command::new("sha256sum");
    succeeded(
        check
            .current_dir(&first)
            .args(["--check", &format!("{name}.sha256")]),
    );

    let prefix = folder.path().join("prefix");
    fs::create_dir(&prefix).unwrap();
    let mut unpack = Command::new("tar");
    unpack.args(["--strip-components", "1", "-C"]).arg(&prefix);
    succeeded(unpack.arg("-xzf").arg(first.join(name)));
    finds_the_ship(&prefix, &[]);
    let licences = fs::read_to_string(prefix.join("share/doc/effnet/THIRD-PARTY.md")).unwrap();
    assert!(licences.contains("| serde_json | 1."), "{licences}");
    // What only effnet-torch or a build is made of.
    for absent in ["| tch |", "| cc |", "| serde_derive |", "| effnet |"] {
        assert!(!licences.contains(absent), "{absent}");
    }
    assert_eq!(uninstall(&prefix).code, Some(0));
    assert_eq!(files(&prefix), BTreeSet::new());
}
