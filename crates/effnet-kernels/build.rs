//! Compiles the kernels, and tells dependents where their headers are.

use std::{env, path::PathBuf};

const AVX512: &[&str] = &["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mfma"];

/// The kernels are compiled once for each of these; the network asks the CPU which to take.
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
    // Before any of the code that it needs, as the linker wants it.
    base()
        .files(["network_api", "network", "pass", "pack"].map(|name| format!("native/{name}.cpp")))
        .compile("effnet_network");
    if env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64") {
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
        // As libtorch is compiled; they let a comparison become one instruction.
        .flags(["-fno-math-errno", "-fno-trapping-math"])
        // The compiler's own headers start AVX-512 intrinsics from an undefined register.
        .flags(["-Wno-uninitialized", "-Wno-maybe-uninitialized"])
        .flags(flags)
        .compile(&format!("effnet_kernels_{instruction_set}"));
}

/// Always optimised: a kernel compiled without is slower than the network it replaces.
fn base() -> cc::Build {
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++20")
        .opt_level(3)
        .debug(false)
        .flag_if_supported("-fvisibility=hidden")
        .flag_if_supported("-fvisibility-inlines-hidden");
    build
}
