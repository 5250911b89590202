//! Compiles the shim, and lets what is linked here find libtorch at run time.

use std::path::{Path, PathBuf};
use std::{env, io};

mod rpath {
    include!("../../scripts/libtorch/rpath.rs");

    pub(crate) fn announce() -> io::Result<()> {
        main()
    }
}

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
    for name in ["LIBTORCH_INCLUDE", "LIBTORCH_CXX11_ABI", "CUDA_HOME"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    // Before any of the code that needs them, as the linker wants it.
    if let Some(library) = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from) {
        torch(&library);
        for (feature, name) in CUDA_LIBRARIES {
            if env::var_os(format!("CARGO_FEATURE_{feature}")).is_some() {
                cuda_library(&library, feature, name)?;
            }
        }
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
    with_headers(library, "c++17")
        .files(["torch", "cuda", "operator", "autocast"].map(|name| format!("shim/{name}.cpp")))
        .compile("libtorch_ext_torch");
    // On libtorch's own threads, which are OpenMP's.
    with_headers(library, "c++20")
        .files(["training", "training_norm", "sync_batch_norm"].map(|name| format!("shim/{name}.cpp")))
        .flag_if_supported("-fopenmp")
        .compile("libtorch_ext_training");
    with_headers(library, "c++17")
        .files(["store", "process_group"].map(|name| format!("shim/{name}.cpp")))
        .include("shim/gloo")
        .compile("libtorch_ext_distributed");
}

/// The libraries that a feature builds of what libtorch_cuda exports: the feature, as cargo's variables have
/// it, and its one source.
const CUDA_LIBRARIES: [(&str, &str); 2] = [("CUDA_GRAPHS", "cuda_graphs"), ("NCCL", "nccl")];

/// A program cannot be linked to libtorch_cuda without loading it at every start: a library of its own, to be
/// opened when that is there. It has gaps until then.
fn cuda_library(library: &Path, feature: &str, name: &str) -> io::Result<()> {
    let cuda = env::var_os("CUDA_HOME").map(|home| PathBuf::from(home).join("include"));
    let wheels = library
        .parent()
        .and_then(Path::parent)
        .map(|root| root.join("nvidia"))
        .unwrap_or_default();
    let Some(headers) = cuda
        .into_iter()
        .chain([wheels.join("cu13/include")])
        .find(|folder| {
            ["cuda_runtime.h", "crt/host_config.h"]
                .iter()
                .all(|name| folder.join(name).exists())
        })
    else {
        return Err(io::Error::other(format!(
            "the feature {} needs the headers of CUDA 13.0: expected cuda_runtime.h and crt/host_config.h in \
             $CUDA_HOME/include or beside libtorch; scripts/setup --cuda installs them",
            name.replace('_', "-")
        )));
    };
    let out = env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default();
    let target = out.join(format!("libeffnet_{name}.so"));
    let compiler = with_headers(library, "c++17")
        .include(headers)
        // Elsewhere nccl.h is installed among the compiler's own.
        .include(wheels.join("nccl/include"))
        .get_compiler();
    let source = format!("shim/{name}.cpp");
    let status = compiler
        .to_command()
        .args(["-shared", &source, "-o"])
        .arg(&target)
        .status()?;
    if !status.success() {
        return Err(io::Error::other(format!(
            "{source} cannot be compiled ({status})"
        )));
    }
    println!("cargo::rustc-env=EFFNET_{feature}={}", target.display());
    Ok(())
}

/// Compiles as torch-sys does its own shim.
fn with_headers(library: &Path, standard: &str) -> cc::Build {
    let root = env::var_os("LIBTORCH_INCLUDE").map_or_else(
        || library.parent().map(Path::to_path_buf).unwrap_or_default(),
        PathBuf::from,
    );
    let abi = env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    let mut build = base(standard);
    build
        .include(root.join("include"))
        .include(root.join("include/torch/csrc/api/include"))
        .define("_GLIBCXX_USE_CXX11_ABI", abi.as_str())
        .warnings(false);
    build
}

fn network() {
    base("c++20")
        .files(["network_api", "network", "pass", "pack"].map(|name| format!("shim/{name}.cpp")))
        .compile("libtorch_ext_network");
}

fn kernels(instruction_set: &str, flags: &[&str]) {
    let mut build = base("c++20");
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

/// Always optimised: a kernel compiled without is slower than the network it replaces.
fn base(standard: &str) -> cc::Build {
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std(standard)
        .opt_level(3)
        .debug(false)
        .flag_if_supported("-fvisibility=hidden")
        .flag_if_supported("-fvisibility-inlines-hidden");
    build
}
