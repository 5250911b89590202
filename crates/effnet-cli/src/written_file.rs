//! Checks the file that a command with one result writes before they read anything: it must not be the input, a pipe or a
//! device, and replacing an existing file takes `--force`.

use std::fs;
use std::path::Path;

use anyhow::{bail, ensure};

/// Refuses to write to a pipe or a device before anything opens it, because opening a pipe blocks until its other end
/// is opened.
pub(crate) fn check_kind(output: &Path) -> anyhow::Result<()> {
    if let Ok(found) = fs::metadata(output) {
        ensure!(
            found.is_file() || found.is_dir(),
            "{}: not a regular file; write to a regular file",
            output.display()
        );
    }
    Ok(())
}

/// Refuses to overwrite the input and, without `--force`, an existing output.
pub(crate) fn check_overwriting(output: &Path, input: &Path, force: bool) -> anyhow::Result<()> {
    let is_file = |path: &Path| fs::metadata(path).is_ok_and(|found| found.is_file());
    // Symbolic and hard links count as the same file. An output that does not exist is not a link.
    if is_file(output) && is_file(input) && same_file::is_same_file(output, input).unwrap_or(false) {
        bail!(
            "{}: the output is the input; write to a different file",
            output.display()
        );
    }
    ensure!(
        force || !output.exists(),
        "{}: already exists; pass --force to overwrite it, or write to a different file",
        output.display()
    );
    Ok(())
}

/// Refuses a name of which the extension is not `.safetensors`, the only format that holds class names and preprocessing.
pub(crate) fn check_safetensors(flag: &str, output: &Path) -> anyhow::Result<()> {
    ensure!(
        output
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("safetensors")),
        "{flag} {}: expected a name that ends in .safetensors; `effnet convert` writes other formats from it",
        output.display()
    );
    Ok(())
}
