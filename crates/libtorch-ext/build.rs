//! Compiles the shim, and lets what is linked here find libtorch at run time.

use std::path::{Path, PathBuf};
use std::{env, io};

use shim::{optimised, with_libtorch};

mod rpath {
    include!("../../scripts/libtorch/rpath.rs");

    pub(crate) fn announce() -> io::Result<()> {
        main()
    }
}

mod shim {
    include!("../../scripts/libtorch/shim.rs");
}

/// What the C++ of other crates includes too: cargo tells them where it lies in `DEP_LIBTORCH_EXT_INCLUDE`.
const BOUNDARY: &str = "shim/include";

/// The kernels are compiled once for each of these; the network asks the CPU which to take.
const INSTRUCTION_SETS: [(&str, &[&str]); 3] = [
    ("avx2", &["-mavx2", "-mfma"]),
    ("avx512", AVX512),
    (
        "avx512bf16",
        &[
            "-mavx512f",
            "-mavx512bw",
            "-mavx512vl",
            "-mavx512dq",
            "-mfma",
            "-mavx512bf16",
        ],
    ),
];
const AVX512: &[&str] = &["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mfma"];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=shim");
    let root = env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .unwrap_or_default();
    println!("cargo::metadata=include={}", root.join(BOUNDARY).display());
    // Before any of the code that needs them, as the linker wants it.
    if let Some(library) = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from) {
        torch(&library);
        shim::cuda_library(&library, "cuda_graphs", Path::new(BOUNDARY))?;
    }
    network();
    if env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64") {
        for (name, flags) in INSTRUCTION_SETS {
            kernels(name, flags);
        }
    }
    kernels("baseline", &[]);
    rpath::announce()
}

/// What libtorch exports, and what is built on it.
fn torch(library: &Path) {
    with_libtorch(library, "c++17")
        .files(["torch", "cuda", "operator", "autocast"].map(|name| format!("shim/{name}.cpp")))
        .include(BOUNDARY)
        .compile("libtorch_ext_torch");
    // On libtorch's own threads, which are OpenMP's.
    with_libtorch(library, "c++20")
        .files(["training", "training_norm", "sync_batch_norm"].map(|name| format!("shim/{name}.cpp")))
        .include(BOUNDARY)
        .flag_if_supported("-fopenmp")
        .compile("libtorch_ext_training");
}

fn network() {
    optimised("c++20")
        .files(["network_api", "network", "pass", "pack"].map(|name| format!("shim/{name}.cpp")))
        .include(BOUNDARY)
        .compile("libtorch_ext_network");
}

fn kernels(instruction_set: &str, flags: &[&str]) {
    let mut build = optimised("c++20");
    build
        .files(["shim/kernels.cpp", "shim/training_kernels.cpp"])
        .define("KERNEL_ISA", instruction_set)
        // As libtorch is compiled; they let a comparison become one instruction.
        .flags(["-fno-math-errno", "-fno-trapping-math"])
        // The compiler's own headers start AVX-512 intrinsics from an undefined register.
        .flags(["-Wno-uninitialized", "-Wno-maybe-uninitialized"])
        .flags(flags)
        .compile(&format!("libtorch_ext_{instruction_set}"));
}
