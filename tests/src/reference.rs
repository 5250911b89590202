//! The Python process that answers for the reference packages.
//!
//! Tests compare effnet with the original Python implementations. Importing those takes seconds, so one process
//! serves all tests of a binary, over pipes.

use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;
use test_support::{Python, interpreter};

/// torchrun for two processes on this machine, with at most two restarts. The caller adds the program and its
/// arguments.
///
/// # Errors
/// Same as [`interpreter`].
pub fn torchrun() -> Result<Command, String> {
    let mut command = Command::new(interpreter()?);
    command.args(["-m", "torch.distributed.run", "--standalone", "--no-python"]);
    command.args(["--nproc-per-node", "2", "--max-restarts", "2"]);
    Ok(command)
}

/// One for the whole test binary.
static REFERENCE: LazyLock<Result<Python, String>> = LazyLock::new(|| Python::start("network_reference.py"));

/// Asks the Python reference; `request` is `{"request": function, argument: value, ...}` with a
/// function of `scripts/reference/network_reference.py`.
///
/// # Errors
/// When there is no Python reference, with the reason for [`skip`](crate::skip).
///
/// # Panics
/// When the reference fails.
pub fn ask(request: &Value) -> Result<Value, String> {
    let reference = REFERENCE.as_ref().map_err(Clone::clone)?;
    Ok(reference.ask(request))
}
