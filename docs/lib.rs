//! Runs the examples of the book (`docs/src`) as doctests, so that they compile and do what the text says.
//!
//! Chapters that need libtorch are tested by the crate `effnet-tests`, so that this one builds without it.

#[cfg(doctest)]
#[doc = include_str!("src/library.md")]
mod library {}
