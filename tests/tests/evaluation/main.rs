//! How well a network does: the metrics against torch, and `effnet evaluate` as its user sees it.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod metrics;
