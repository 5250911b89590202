//! The subcommands, one per file.

pub(crate) mod average;
pub(crate) mod bench;
pub(crate) mod cache;
pub(crate) mod check;
pub(crate) mod classify;
pub(crate) mod completions;
pub(crate) mod convert;
pub(crate) mod download;
pub(crate) mod env;
pub(crate) mod evaluate;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod features;
pub(crate) mod inspect;
pub(crate) mod man;
pub(crate) mod models;
pub(crate) mod report;
pub(crate) mod runs;
pub(crate) mod serve;
pub(crate) mod similar;
pub(crate) mod train;
