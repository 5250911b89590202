//! Compiles the shim, and sets the run path through which this package's binaries find libtorch.

use std::path::PathBuf;
use std::{env, io};

mod rpath {
    include!("../../scripts/libtorch/rpath.rs");

    pub(crate) fn announce() -> io::Result<()> {
        main()
    }
}

mod shim {
    include!("../../scripts/libtorch/shim.rs");
}

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=shim");
    let folder = |name| env::var_os(name).map(PathBuf::from);
    if let (Some(library), Some(boundary), Some(kernels)) = (
        folder("DEP_TCH_LIBTORCH_LIB"),
        folder("DEP_LIBTORCH_EXT_INCLUDE"),
        folder("DEP_LIBTORCH_EXT_KERNELS"),
    ) {
        println!("cargo::rerun-if-changed={}", boundary.display());
        let headers = [boundary.as_path(), kernels.as_path()];
        shim::with_libtorch(&library, "c++17")
            .files(["store", "process_group", "reducer"].map(|name| format!("shim/{name}.cpp")))
            .include("shim/gloo")
            .includes(headers)
            .compile("torch_c10d");
        shim::cuda_library(&library, "nccl", &headers)?;
    }
    rpath::announce()
}
