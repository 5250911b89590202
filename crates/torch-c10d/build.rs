//! Compiles the shim, and sets the run path through which this package's binaries find libtorch.

use std::path::PathBuf;
use std::{env, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=shim");
    let folder = |name| env::var_os(name).map(PathBuf::from);
    if let (Some(library), Some(boundary), Some(kernels)) = (
        libtorch_build::libraries(),
        folder("DEP_LIBTORCH_EXT_INCLUDE"),
        folder("DEP_LIBTORCH_EXT_KERNELS"),
    ) {
        println!("cargo::rerun-if-changed={}", boundary.display());
        let headers = [boundary.as_path(), kernels.as_path()];
        libtorch_build::with_libtorch(&library, "c++17")
            .files(["store", "process_group", "reducer"].map(|name| format!("shim/{name}.cpp")))
            .include("shim/gloo")
            .includes(headers)
            .compile("torch_c10d");
        libtorch_build::cuda_library(&library, "nccl", &headers)?;
    }
    libtorch_build::set_run_path()
}
