#![doc = include_str!("../README.md")]
// This crate calls C: every unsafe block says why it is sound.
#![allow(unsafe_code)]

mod address;
mod boundary;
mod connections;
mod error;
mod group;
mod heartbeat;
mod messages;
mod nccl;
mod options;
mod presence;
mod raw;
mod reducer;
mod signature;
mod store;
mod sync_batch_norm;

pub use error::{GroupError, Peer, Suspect};
pub use group::{ProcessGroup, Reduction};
pub use options::{ProcessGroupOptions, Protocol};
pub use reducer::Reducer;
pub use store::Store;
pub use sync_batch_norm::SyncBatchNorm;
