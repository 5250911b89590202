//! Compiles the C++ kernels, and passes the folder of their headers to dependents.

use std::{env, path::PathBuf};

const AVX512: &[&str] = &["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mfma"];

/// The instruction sets that the kernels are compiled for. One of them is selected at run time.
const INSTRUCTION_SETS: [(&str, &[&str], &[&str]); 3] = [
    ("avx2", &["-mavx2", "-mfma"], &[]),
    ("avx512", AVX512, &[]),
    ("avx512bf16", AVX512, &["-mavx512bf16"]),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=native");
    let native = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("native");
    println!("cargo::metadata=include={}", native.display());
    // Linkers resolve symbols from left to right, so a library must come before the libraries that it needs.
    base()
        .files(["network_api", "network", "pass", "pack"].map(|name| format!("native/{name}.cpp")))
        .compile("effnet_network");
    let is = |name, value| env::var(name).is_ok_and(|found| found == value);
    // The same condition is in kernels.h, with the reason.
    if is("CARGO_CFG_TARGET_ARCH", "x86_64") && !is("CARGO_CFG_TARGET_OS", "windows") {
        for (name, flags, more) in INSTRUCTION_SETS {
            kernels(name, &[flags, more].concat());
        }
    }
    kernels("baseline", &[]);
}

fn kernels(instruction_set: &str, flags: &[&str]) {
    base()
        .files(["native/kernels.cpp", "native/training_kernels.cpp"])
        .define("KERNEL_ISA", instruction_set)
        // libtorch's flags, which let a comparison compile to one instruction.
        .flags(["-fno-math-errno", "-fno-trapping-math"])
        .flags(flags)
        .compile(&format!("effnet_kernels_{instruction_set}"));
}

/// Returns a build that is optimised in every profile: without optimisation, a kernel is slower than the network
/// that it replaces.
///
/// All warnings are on. They are errors only if `EFFNET_WERROR` is 1, as in CI, because the crate must also build
/// with compilers that warn about other things.
fn base() -> cc::Build {
    println!("cargo::rerun-if-env-changed=EFFNET_WERROR");
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++20")
        .opt_level(3)
        .debug(false)
        .warnings(true)
        .extra_warnings(true)
        .warnings_into_errors(env::var("EFFNET_WERROR").is_ok_and(|value| value == "1"))
        .flag_if_supported("-fvisibility=hidden")
        .flag_if_supported("-fvisibility-inlines-hidden");
    build
}
