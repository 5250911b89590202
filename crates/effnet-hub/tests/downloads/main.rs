//! Tests that downloads from a misbehaving server give the right file, or a clear error and nothing under the
//! final name.

#![allow(missing_docs, unreachable_pub)]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::format_collect,
    clippy::format_push_string
)]

mod bench;
mod bundled;
mod caches;
mod disks;
mod interruptions;
mod processes;
mod refusals;
mod repositories;
mod routes;
mod server;
