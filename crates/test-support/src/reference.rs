//! The places of what is not part of the project: the Python reference, images and checkpoints.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The interpreter that has the reference packages: `EFFNET_REFERENCE_PYTHON`, else the one in `.venv` at the root of the
/// repository.
///
/// # Errors
/// When neither exists, with the reason for the log of skipped tests.
pub fn interpreter() -> Result<PathBuf, String> {
    if let Some(python) = env::var_os("EFFNET_REFERENCE_PYTHON").filter(|python| !python.is_empty()) {
        return Ok(python.into());
    }
    let python = repository().join(".venv/bin/python");
    if python.exists() {
        return Ok(python);
    }
    Err("no Python reference; `scripts/setup --reference` installs it".to_owned())
}

/// The interpreter, if it can import these modules: `"onnx, onnxruntime"`.
///
/// # Errors
/// When it cannot, or when there is none, with the reason for the log of skipped tests.
pub fn interpreter_with(modules: &str) -> Result<PathBuf, String> {
    let python = interpreter()?;
    let import = Command::new(&python)
        .args(["-c", &format!("import {modules}")])
        .output();
    if import.is_ok_and(|output| output.status.success()) {
        return Ok(python);
    }
    Err(format!("`{}` cannot import {modules}", python.display()))
}

/// The folder with images and checkpoints that are not part of the project: `EFFNET_SHARED_DATA`, else `../shared/data`
/// next to the repository.
///
/// # Errors
/// When neither exists, with the reason for the log of skipped tests.
pub fn shared_data() -> Result<PathBuf, String> {
    let named = env::var_os("EFFNET_SHARED_DATA").filter(|folder| !folder.is_empty());
    let folder = named.map_or_else(|| repository().join("../shared/data"), PathBuf::from);
    match folder.canonicalize() {
        Ok(folder) if folder.is_dir() => Ok(folder),
        _ => Err(format!("no photos and checkpoints in {}", folder.display())),
    }
}

pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the crate is in the repository")
}
