//! Lets what is linked here find libtorch at run time.
//!
//! A development build knows libtorch by absolute paths. An installed effnet-torch has its libtorch in lib/effnet
//! beside bin, wherever both are moved to. `scripts/install` builds with EFFNET_RELOCATABLE=1, which leaves out the
//! absolute paths: what lies there may belong to another user, and is not what was installed.

use std::{env, io};

mod rpath {
    include!("../../scripts/libtorch/rpath.rs");

    pub(crate) fn announce() -> io::Result<()> {
        main()
    }
}

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=EFFNET_RELOCATABLE");
    if cfg!(unix) {
        // First, so that the copy of an installed program wins.
        println!("cargo::rustc-link-arg-bin=effnet-torch=-Wl,-rpath,$ORIGIN/../lib/effnet");
    }
    if env::var_os("EFFNET_RELOCATABLE").is_some_and(|value| value == "1") {
        return Ok(());
    }
    rpath::announce()
}
