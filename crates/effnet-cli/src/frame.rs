//! What an output is besides its results: the header before them, what separates them, the file they go to.

use std::path::Path;

use anyhow::ensure;

/// What stands around results in an output.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frame {
    /// Before all of them.
    pub(crate) header: Vec<u8>,
    /// Between two of them.
    pub(crate) separator: &'static str,
}

/// Refuses what is not a file: a device or a pipe would be replaced by a file of its name.
pub(crate) fn check_output(output: &Path) -> anyhow::Result<()> {
    ensure!(
        output.is_file() || !output.exists(),
        "{}: expected a file to write, found something else",
        output.display()
    );
    Ok(())
}
