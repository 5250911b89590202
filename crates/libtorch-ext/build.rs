//! Compiles the shim, and lets what is linked here find libtorch at run time.

use std::env;
use std::path::{Path, PathBuf};

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

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=shim");
    println!("cargo::rerun-if-env-changed=LIBTORCH_INCLUDE");
    println!("cargo::rerun-if-env-changed=LIBTORCH_CXX11_ABI");
    // Before any of the code that needs them, as the linker wants it.
    torch();
    network();
    if env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64") {
        for (name, flags) in INSTRUCTION_SETS {
            kernels(name, flags);
        }
    }
    kernels("baseline", &[]);
    rpath::announce()
}

/// What libtorch exports, compiled as torch-sys compiles its own shim.
fn torch() {
    let Some(library) = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from) else {
        return;
    };
    let root = env::var_os("LIBTORCH_INCLUDE").map_or_else(
        || library.parent().map(Path::to_path_buf).unwrap_or_default(),
        PathBuf::from,
    );
    let abi = env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    base("c++17")
        .file("shim/torch.cpp")
        .include(root.join("include"))
        .include(root.join("include/torch/csrc/api/include"))
        .define("_GLIBCXX_USE_CXX11_ABI", abi.as_str())
        .warnings(false)
        .compile("libtorch_ext_torch");
}

fn network() {
    base("c++20")
        .files(["network_api", "network", "pass", "pack"].map(|name| format!("shim/{name}.cpp")))
        .compile("libtorch_ext_network");
}

fn kernels(instruction_set: &str, flags: &[&str]) {
    let mut build = base("c++20");
    build
        .file("shim/kernels.cpp")
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
