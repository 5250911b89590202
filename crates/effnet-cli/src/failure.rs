//! Explains why an input has no result; the server of `effnet serve` explains it with the same types.

pub(crate) use effnet::{Failure, FailureKind, finite_features};
