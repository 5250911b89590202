//! The `effnet-torch` command: everything that `effnet` does, and what needs libtorch.

use std::process::ExitCode;

fn main() -> ExitCode {
    effnet_cli::main(Some(&effnet_torch::Torch))
}
