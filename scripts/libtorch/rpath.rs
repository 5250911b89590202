// Lets what a package links find libtorch at run time, wherever it is started: the body of the
// build script of every package that has binaries, tests, examples or doctests with tch in them.
// They all depend on torch-sys directly, because cargo tells where libtorch lies to nobody else,
// and `rustc-link-arg` reaches only the executables of its own package.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let Some(libtorch) = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from) else {
        return Ok(());
    };
    println!("cargo::rustc-env=EFFNET_LIBTORCH_LIB={}", libtorch.display());
    if !cfg!(unix) {
        return Ok(());
    }
    // First the folder as it was named, a link that `scripts/setup` may point elsewhere later;
    // then the folder behind it, for a binary that outlives the checkout.
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

/// Doctests get no link arguments. But whatever cargo runs, doctests too, gets a library path
/// with the search folders that lie inside the target folder, so one of them links to libtorch.
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
