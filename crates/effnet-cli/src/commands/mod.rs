//! One file for each subcommand.

pub(crate) mod classify;
pub(crate) mod completions;
pub(crate) mod env;
pub(crate) mod inspect;
