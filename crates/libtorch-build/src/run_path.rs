//! The run path by which the executables of a package find libtorch, wherever they are started.
//!
//! Every package with programs, tests, examples or doctests that use tch needs it in its build script, because
//! `rustc-link-arg` applies only to the executables of its own package.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Adds the folder of libtorch to the run path of the package's executables, and lets its doctests find it. The
/// package's code has the folder in the environment variable `EFFNET_LIBTORCH_LIB` while it is compiled. Does nothing
/// if [`libraries`](crate::libraries) is `None`.
///
/// # Errors
/// If the output folder of the build script cannot be written to.
pub fn set_run_path() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let Some(libtorch) = crate::libraries() else {
        return Ok(());
    };
    println!("cargo::rustc-env=EFFNET_LIBTORCH_LIB={}", libtorch.display());
    if !cfg!(unix) {
        return Ok(());
    }
    // First the folder as it is named, a link that `scripts/setup` may point elsewhere later; then the
    // folder that it points to, for a binary that outlives the checkout.
    rpath(&libtorch);
    if let Some(real) = fs::canonicalize(libtorch.join("libtorch_cpu.so"))
        .ok()
        .as_deref()
        .and_then(Path::parent)
    {
        rpath(real);
    }
    search_path_for_doctests(&libtorch)
}

fn rpath(folder: &Path) {
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", folder.display());
}

/// Doctests get no link arguments. But everything that cargo runs, doctests included, gets a library path with
/// the search folders inside the target folder, so one of these is a link to libtorch.
fn search_path_for_doctests(libtorch: &Path) -> io::Result<()> {
    let Some(out) = env::var_os("OUT_DIR").map(PathBuf::from) else {
        return Ok(());
    };
    let link = out.join("libtorch");
    match fs::remove_file(&link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink(libtorch, &link)?;
    println!("cargo::rustc-link-search=native={}", link.display());
    Ok(())
}
