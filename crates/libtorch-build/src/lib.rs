#![doc = include_str!("../README.md")]
// A build script talks to cargo on standard output.
#![allow(clippy::print_stdout)]

use std::env;
use std::path::PathBuf;

mod run_path;
mod shim;

pub use run_path::set_run_path;
pub use shim::{cuda_library, with_libtorch};

/// Returns the folder of libtorch's libraries, as torch-sys found it, or `None` if the package does not depend on
/// torch-sys directly or torch-sys has its feature `doc-only`.
pub fn libraries() -> Option<PathBuf> {
    env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from)
}
