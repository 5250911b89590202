//! Several processes that work on one task: a test starts itself again as the ranks of a group.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod collectives;
mod command;
mod failures;
mod faults;
mod norms;
mod python;
mod ranks;
mod reducer;
mod training;
