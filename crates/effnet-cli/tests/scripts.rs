//! Every script of the checkout says what it does and refuses what it does not know, before it builds, downloads or
//! measures anything: a misspelt option must not start forty minutes of work.

#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Passes its arguments on to `effnet`, which it builds first.
const PASSES_ON: &str = "scripts/effnet";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn programs(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            programs(&path, found);
        } else if path.metadata().unwrap().permissions().mode() & 0o100 != 0 {
            found.push(path);
        }
    }
}

/// The scripts, by their path in the checkout.
fn scripts() -> Vec<String> {
    let root = root();
    let mut found = Vec::new();
    programs(&root.join("scripts"), &mut found);
    let mut names: Vec<String> = found
        .iter()
        .map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned())
        .filter(|name| name != PASSES_ON)
        .collect();
    names.sort();
    assert!(names.len() > 30, "{names:?}");
    names
}

/// A folder of programs that a script may not run yet; each writes its name to `called`.
fn traps() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "cargo", "rustc", "cc", "c++", "gcc", "g++", "pip", "pip3", "curl", "wget", "npm", "docker",
    ] {
        let path = folder.path().join(name);
        let called = folder.path().join("called");
        fs::write(
            &path,
            format!("#!/bin/sh\necho {name} >>'{}'\nexit 97\n", called.display()),
        )
        .unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

/// Runs a script with one argument; what it printed, and which traps it stepped on.
fn run(script: &str, argument: &str) -> (Output, String) {
    let traps = traps();
    let path = std::env::var("PATH").unwrap();
    let output = Command::new(root().join(script))
        .arg(argument)
        .current_dir(traps.path())
        .env("PATH", format!("{}:{path}", traps.path().display()))
        // No Python packages but those that a machine has anyway.
        .env("EFFNET_REFERENCE_PYTHON", "python3")
        .env("PYTHONNOUSERSITE", "1")
        .env("PIP_NO_INDEX", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let called = fs::read_to_string(traps.path().join("called")).unwrap_or_default();
    (output, called)
}

/// Runs every script with one argument, and returns what `fault` finds wrong.
fn faults(argument: &str, fault: fn(&str, &str, &str) -> Option<String>, code: i32) -> Vec<String> {
    let mut faults = Vec::new();
    for script in scripts() {
        let (output, called) = run(&script, argument);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let found = if !called.is_empty() {
            Some(format!("it ran {called}"))
        } else if output.status.code() != Some(code) {
            Some(format!("{}, expected {code}: {errors}", output.status))
        } else {
            fault(&script, &text, &errors)
        };
        faults.extend(found.map(|found| format!("{script} {argument}: {found}")));
    }
    faults
}

#[test]
fn every_script_says_what_it_does() {
    let faults = faults(
        "--help",
        |script, text, errors| {
            let name = script.rsplit('/').next().unwrap();
            let says = text.contains(name) && text.split_whitespace().count() > 12;
            (!says || !errors.is_empty()).then(|| format!("it printed {text:?} and {errors:?}"))
        },
        0,
    );
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn every_script_refuses_an_unknown_option_in_one_line() {
    let faults = faults(
        "--no-such-flag",
        |script, text, errors| {
            let name = script.rsplit('/').next().unwrap();
            // argparse prints the usage before the reason.
            let (_, reason) = errors
                .rsplit_once(&format!("{name}: error: "))
                .unwrap_or(("", errors));
            let is_one_line = reason.trim().lines().count() == 1;
            (!is_one_line || !text.is_empty()).then(|| format!("it printed {text:?} and {errors:?}"))
        },
        2,
    );
    assert!(faults.is_empty(), "{faults:#?}");
}
