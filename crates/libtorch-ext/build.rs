//! Compiles the shim, and sets the run path through which this package's binaries find libtorch.

use std::path::{Path, PathBuf};
use std::{env, io};

use libtorch_build::with_libtorch;

/// Headers for the C++ code of other crates. cargo passes this folder to their build scripts in
/// `DEP_LIBTORCH_EXT_INCLUDE`, and that of the kernels' headers in `DEP_LIBTORCH_EXT_KERNELS`.
const BOUNDARY: &str = "shim/include";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=shim");
    let root = env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .unwrap_or_default();
    println!("cargo::metadata=include={}", root.join(BOUNDARY).display());
    if let (Some(library), Some(kernels)) = (
        libtorch_build::libraries(),
        env::var_os("DEP_EFFNET_KERNELS_INCLUDE").map(PathBuf::from),
    ) {
        println!("cargo::metadata=kernels={}", kernels.display());
        println!("cargo::rerun-if-changed={}", kernels.display());
        torch(&library, &kernels);
        let headers = [Path::new(BOUNDARY), &kernels];
        libtorch_build::cuda_library(&library, "cuda_graphs", &headers)?;
    }
    libtorch_build::set_run_path()
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
