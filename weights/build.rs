//! Leaves the indentation of the JSON files out of the program.

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let folder = env::var_os("OUT_DIR").unwrap_or_default();
    for name in ["manifest.json", "imagenet-classes.json"] {
        println!("cargo::rerun-if-changed={name}");
        // A line break cannot be part of a string in JSON, so every line starts outside of strings.
        let lines: String = fs::read_to_string(name)?.lines().map(str::trim).collect();
        fs::write(Path::new(&folder).join(name), lines)?;
    }
    Ok(())
}
