//! Links the C++ runtime into `effnet`, so that the program is one file that runs wherever libc does.
//!
//! Only this binary: `effnet-torch` has to share the runtime that libtorch uses. A folder that holds nothing
//! but links to the static libraries comes first on the linker's search path, so that it finds them where it
//! looks for the shared ones.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// What the linker is asked for, and the static library that takes its place.
const LIBRARIES: [(&str, &str); 2] = [
    ("libstdc++.a", "libstdc++.a"),
    // Unwinding, for panics and C++ exceptions.
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
            "cargo::warning=no static libstdc++ or libgcc_eh: effnet will need the shared ones where it runs"
        );
        return Ok(());
    };
    let folder = out.join("static");
    fs::create_dir_all(&folder)?;
    for (name, library) in found {
        link(&library, &folder.join(name))?;
    }
    println!("cargo::rustc-link-arg-bin=effnet=-L{}", folder.display());
    // The shared libgcc_s brings this one with it, the static one does not.
    println!("cargo::rustc-link-arg-bin=effnet=-lgcc");
    Ok(())
}

/// Where the C++ compiler has this library; it answers with the bare name if it has none.
fn static_library(name: &str) -> Option<PathBuf> {
    let compiler = env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    let output = Command::new(compiler)
        .arg(format!("-print-file-name={name}"))
        .output()
        .ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    path.is_absolute().then_some(path)
}

fn link(target: &Path, link: &Path) -> io::Result<()> {
    match fs::remove_file(link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::os::unix::fs::symlink(target, link)
}
