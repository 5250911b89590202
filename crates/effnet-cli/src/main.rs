//! The `effnet` command, without libtorch.

use std::process::ExitCode;

fn main() -> ExitCode {
    effnet_cli::main(None)
}
