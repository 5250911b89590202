//! Compiles the shim, and sets the run path through which this package's binaries find libtorch.

use std::path::{Path, PathBuf};
use std::{env, io};

use shim::with_libtorch;

mod rpath {
    include!("../../scripts/libtorch/rpath.rs");

    pub(crate) fn announce() -> io::Result<()> {
        main()
    }
}

mod shim {
    include!("../../scripts/libtorch/shim.rs");
}

/// Headers for the C++ code of other crates. cargo passes this folder to their build scripts in
/// `DEP_LIBTORCH_EXT_INCLUDE`, and that of the kernels' headers in `DEP_LIBTORCH_EXT_KERNELS`.
const BOUNDARY: &str = "shim/include";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=shim");
    let root = env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .unwrap_or_default();
    println!("cargo::metadata=include={}", root.join(BOUNDARY).display());
    let folder = |name| env::var_os(name).map(PathBuf::from);
    if let (Some(library), Some(kernels)) = (
        folder("DEP_TCH_LIBTORCH_LIB"),
        folder("DEP_EFFNET_KERNELS_INCLUDE"),
    ) {
        println!("cargo::metadata=kernels={}", kernels.display());
        println!("cargo::rerun-if-changed={}", kernels.display());
        torch(&library, &kernels);
        let headers = [Path::new(BOUNDARY), &kernels];
        shim::cuda_library(&library, "cuda_graphs", &headers)?;
    }
    rpath::announce()
}

/// Compiles the code that includes libtorch's headers.
fn torch(library: &Path, kernels: &Path) {
    with_libtorch(library, "c++17")
        .files(["torch", "cuda", "operator", "autocast"].map(|name| format!("shim/{name}.cpp")))
        .include(BOUNDARY)
        .include(kernels)
        .compile("libtorch_ext_torch");
    // This code runs on libtorch's threads, which are OpenMP threads.
    with_libtorch(library, "c++20")
        .files(["training", "training_norm", "sync_batch_norm"].map(|name| format!("shim/{name}.cpp")))
        .include(BOUNDARY)
        .include(kernels)
        .flag_if_supported("-fopenmp")
        .compile("libtorch_ext_training");
}
