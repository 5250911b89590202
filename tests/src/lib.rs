//! Helpers of the workspace's tests: running the programs, asking the Python reference, comparing
//! numbers, and reporting tests that cannot run on this machine.
//!
//! The tests themselves are in `tests/`, one binary per subject.

// A panic here is a failed test.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::missing_panics_doc)]

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}

/// The chapters of the book that need libtorch; `docs/lib.rs` has the others.
#[cfg(doctest)]
#[doc = include_str!("../../docs/src/training-in-rust.md")]
mod training_in_rust {}

mod binary;
mod port;
mod published;
mod reference;
mod tensors;

pub use binary::{Finished, checkout, effnet, finish, interrupt, programs, ship};
pub use port::free_port;
pub use published::published;
pub use reference::{ask, torchrun};
pub use tensors::{relative_error, tensor, tensors};
pub use test_support::{interpreter, names_in, shared_data, skip};
