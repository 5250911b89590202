//! Header, separator and file of an output.

use std::path::Path;

use anyhow::ensure;

/// What an output contains in addition to its results.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frame {
    /// Before all results.
    pub(crate) header: Vec<u8>,
    /// Between two results.
    pub(crate) separator: &'static str,
}

/// Rejects a folder, device or pipe: it would be replaced by a regular file of its name.
pub(crate) fn check_output(output: &Path) -> anyhow::Result<()> {
    ensure!(
        output.is_file() || !output.exists(),
        "{}: expected a regular file for --output, found a folder, device or pipe",
        output.display()
    );
    Ok(())
}
