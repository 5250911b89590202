//! Runs the target that the variable `EFFNET_FUZZ_TARGET` names under libFuzzer.
//!
//! One program for all targets: they share nearly all of their code, and linking it once is quicker.
#![no_main]

use std::sync::OnceLock;

use fuzz_targets::{TARGETS, Target, target};
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<Target> = OnceLock::new();

/// The selected target.
fn selected() -> Target {
    let name = std::env::var("EFFNET_FUZZ_TARGET").unwrap_or_default();
    target(&name).unwrap_or_else(|| {
        let names = TARGETS.map(|(name, _)| name).join(", ");
        panic!("EFFNET_FUZZ_TARGET is `{name}`, expected one of {names}");
    })
}

fuzz_target!(|bytes: &[u8]| {
    TARGET.get_or_init(selected)(bytes);
});
