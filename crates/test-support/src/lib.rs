//! What tests of several crates share: reports of tests that cannot run on this machine, the Python reference and the place
//! of the images, state dicts of zeros, names in a folder, and colours as the colour-blind see them.
//!
//! A test that says nothing when it is skipped looks like one that passes. All report in one way, so that `scripts/test`
//! can list them.

// A panic here is a failed test.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::missing_panics_doc)]

mod color_blind;
mod folder;
mod python;
mod reference;
mod skip;
mod zeros;

pub use color_blind::{color_distance, seen_by_color_blind};
pub use folder::names_in;
pub use python::Python;
pub use reference::{interpreter, interpreter_with, shared_data};
pub use skip::{skip, skip_for};
pub use zeros::zeros;
