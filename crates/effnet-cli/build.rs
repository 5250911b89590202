//! Links the C++ runtime statically into `effnet`, so that the program is a single file that runs wherever libc does.
//!
//! This applies to this binary only: `effnet-torch` has to share the runtime that libtorch uses. A folder with links to
//! the static libraries comes first on the linker's search path, so the linker finds these libraries before the shared
//! ones.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// Each file name that the linker looks for, and the static library to use in its place.
const LIBRARIES: [(&str, &str); 2] = [
    ("libstdc++.a", "libstdc++.a"),
    // For unwinding, on panics and C++ exceptions.
    ("libgcc_s.a", "libgcc_eh.a"),
];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CXX");
    let target = env::var("CARGO_CFG_TARGET_ENV").unwrap_or_default();
    let Some(out) = env::var_os("OUT_DIR").map(PathBuf::from) else {
        return Ok(());
    };
    if target != "gnu" {
        return Ok(());
    }
    let found: Option<Vec<_>> = LIBRARIES
        .iter()
        .map(|(name, library)| Some((*name, static_library(library)?)))
        .collect();
    let Some(found) = found else {
        println!(
            "cargo::warning=no static libstdc++ or libgcc_eh found: effnet will need the shared libraries at run time"
        );
        return Ok(());
    };
    let folder = out.join("static");
    fs::create_dir_all(&folder)?;
    for (name, library) in found {
        link(&library, &folder.join(name))?;
    }
    println!("cargo::rustc-link-arg-bin=effnet=-L{}", folder.display());
    // The shared libgcc_s depends on libgcc; the static library does not name it, so it is linked here.
    println!("cargo::rustc-link-arg-bin=effnet=-lgcc");
    Ok(())
}

/// Returns the path of this library according to the C++ compiler. A compiler that does not have it prints the bare
/// name.
fn static_library(name: &str) -> Option<PathBuf> {
    let compiler = env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    let output = Command::new(compiler)
        .arg(format!("-print-file-name={name}"))
        .output()
        .ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    path.is_absolute().then_some(path)
}

#[cfg(unix)]
fn link(target: &Path, link: &Path) -> io::Result<()> {
    match fs::remove_file(link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::os::unix::fs::symlink(target, link)
}

/// Windows may refuse links to those who are not administrators.
#[cfg(not(unix))]
fn link(target: &Path, link: &Path) -> io::Result<()> {
    fs::copy(target, link).map(|_| ())
}
