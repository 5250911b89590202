//! Helpers shared by the tests of this crate.
#![allow(clippy::print_stderr, reason = "a skipped test says so")]
#![allow(clippy::unwrap_used, reason = "a test may panic if its own files are broken")]
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns a committed checkpoint, created by scripts/reference/checkpoint_fixtures.py.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// Returns the interpreter that has PyTorch, or prints why the test is skipped.
pub(crate) fn reference_python(test: &str) -> Option<Command> {
    let Some(python) = std::env::var_os("EFFNET_REFERENCE_PYTHON") else {
        eprintln!("skipped: {test}: EFFNET_REFERENCE_PYTHON is not set");
        return None;
    };
    Some(Command::new(python))
}

/// Returns the folder of shared data, or prints why the test is skipped.
pub(crate) fn wild_checkpoints(test: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("EFFNET_SHARED_DATA")
        .map_or(beside, PathBuf::from)
        .join("checkpoints");
    if !folder.is_dir() {
        eprintln!("skipped: {test}: there is no folder {}", folder.display());
        return None;
    }
    Some(folder)
}

/// Returns the folder of cases that once failed, or prints why the test is skipped.
pub(crate) fn shared_cases(test: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let data = std::env::var_os("EFFNET_SHARED_DATA").map_or(beside, PathBuf::from);
    let folder = data.join("../cases");
    if !folder.is_dir() {
        eprintln!("skipped: {test}: there is no folder {}", folder.display());
        return None;
    }
    Some(folder)
}

/// Runs a script of scripts/reference and returns what it printed.
pub(crate) fn run_script(python: &mut Command, script: &str, arguments: &[&Path]) -> String {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/reference");
    let output = python.arg(scripts.join(script)).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
