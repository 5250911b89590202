//! What the tests of this workspace stand on: the Python reference that they ask, the numbers they
//! compare, and an honest word where something that they need is absent.
//!
//! The tests themselves are in `tests/`, one binary for each subject.

// A panic here is a failed test.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::missing_panics_doc)]

mod binary;
mod port;
mod reference;
mod skip;
mod tensors;

pub use binary::{Finished, checkout, effnet, finish, interrupt, programs, ship};
pub use port::free_port;
pub use reference::{ask, interpreter, shared_data, torchrun};
pub use skip::skip;
pub use tensors::{relative_error, tensor, tensors};
