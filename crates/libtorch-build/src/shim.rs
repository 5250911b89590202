//! Compiles the C++ of a package against libtorch, and tells cargo which environment variables this depends on.

use std::path::{Path, PathBuf};
use std::{env, io};

/// Always optimised: an unoptimised kernel is slower than the operators that it replaces.
///
/// All warnings are on. They are errors only if `EFFNET_WERROR` is 1, as in `scripts/test`, because the crate must also
/// build with a compiler that warns of something else.
fn optimised(standard: &str) -> cc::Build {
    println!("cargo::rerun-if-env-changed=EFFNET_WERROR");
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std(standard)
        .opt_level(3)
        .debug(false)
        .warnings(true)
        .extra_warnings(true)
        .warnings_into_errors(env::var("EFFNET_WERROR").is_ok_and(|value| value == "1"))
        .flag_if_supported("-fvisibility=hidden")
        .flag_if_supported("-fvisibility-inlines-hidden");
    build
}

/// Adds libtorch's headers, as torch-sys does for its own shim. `library` is the folder of libtorch's libraries.
pub fn with_libtorch(library: &Path, standard: &str) -> cc::Build {
    for name in ["LIBTORCH_INCLUDE", "LIBTORCH_CXX11_ABI"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let root = env::var_os("LIBTORCH_INCLUDE").map_or_else(
        || library.parent().map(Path::to_path_buf).unwrap_or_default(),
        PathBuf::from,
    );
    let abi = env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    let mut build = optimised(standard);
    build.define("_GLIBCXX_USE_CXX11_ABI", abi.as_str());
    system_include(&mut build, &root.join("include"));
    system_include(&mut build, &root.join("include/torch/csrc/api/include"));
    build
}

/// Adds a folder of headers that are not ours: the compiler does not warn about them.
fn system_include(build: &mut cc::Build, folder: &Path) {
    build.flag("-isystem").flag(folder);
}

/// Builds `libeffnet_{name}.so` from `shim/{name}.cpp` if the feature of that name is on, and passes its path to the
/// crate in the variable `EFFNET_{NAME}`. `headers` are the folders of the headers that libtorch-ext exports.
///
/// A program that is linked to libtorch_cuda loads it at every start. So the code that needs it is a separate
/// library, to be loaded after libtorch_cuda, which resolves its undefined symbols.
///
/// # Errors
/// Without CUDA's headers, and when the compiler fails.
pub fn cuda_library(library: &Path, name: &str, headers: &[&Path]) -> io::Result<()> {
    println!("cargo::rerun-if-env-changed=CUDA_HOME");
    let variable = name.to_uppercase();
    if env::var_os(format!("CARGO_FEATURE_{variable}")).is_none() {
        return Ok(());
    }
    let cuda = env::var_os("CUDA_HOME").map(|home| PathBuf::from(home).join("include"));
    let wheels = library
        .parent()
        .and_then(Path::parent)
        .map(|root| root.join("nvidia"))
        .unwrap_or_default();
    let Some(cuda_headers) = cuda
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
             $CUDA_HOME/include or next to libtorch; scripts/setup --cuda installs them",
            name.replace('_', "-")
        )));
    };
    let out = env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default();
    let target = out.join(format!("libeffnet_{name}.so"));
    let mut build = with_libtorch(library, "c++17");
    build.includes(headers);
    system_include(&mut build, &cuda_headers);
    // Elsewhere nccl.h is installed in the compiler's include path.
    system_include(&mut build, &wheels.join("nccl/include"));
    let compiler = build.get_compiler();
    let source = format!("shim/{name}.cpp");
    let status = compiler
        .to_command()
        .args(["-shared", &source, "-o"])
        .arg(&target)
        .status()?;
    if !status.success() {
        return Err(io::Error::other(format!("cannot compile {source} ({status})")));
    }
    println!("cargo::rustc-env=EFFNET_{variable}={}", target.display());
    Ok(())
}
