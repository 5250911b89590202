//! Lets the binaries linked here find libtorch at run time.
//!
//! A development build refers to libtorch by absolute paths. An installed effnet-torch has its libtorch in
//! lib/effnet next to bin, wherever both are moved to. `scripts/install` builds with EFFNET_RELOCATABLE=1,
//! which omits the absolute paths: the files at these paths may belong to another user, and are not the ones
//! that were installed.

use std::{env, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=EFFNET_RELOCATABLE");
    if cfg!(unix) {
        // This path comes first, so that the copy of an installed program takes precedence.
        println!("cargo::rustc-link-arg-bin=effnet-torch=-Wl,-rpath,$ORIGIN/../lib/effnet");
    }
    if env::var_os("EFFNET_RELOCATABLE").is_some_and(|value| value == "1") {
        return Ok(());
    }
    libtorch_build::set_run_path()
}
