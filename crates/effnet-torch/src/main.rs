//! The `effnet-torch` command, which has every command of `effnet` and those that need libtorch.

use std::process::ExitCode;

fn main() -> ExitCode {
    effnet_cli::main(Some(&effnet_torch::Torch))
}
