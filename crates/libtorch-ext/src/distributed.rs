//! Several processes that work on one task, on one machine or on many: c10d, the engine of PyTorch's own
//! `torch.distributed`, with Gloo between CPUs and NCCL between CUDA devices.
//!
//! ```no_run
//! use launch_environment::Environment;
//! use libtorch_ext::distributed::{GroupOptions, ProcessGroup, Reduction};
//! use tch::{Kind, Tensor};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Started by `torchrun --no-python --nproc-per-node 2 PROGRAM`, by srun, or by hand.
//! if let Some(environment) = Environment::from_env()? {
//!     let group = ProcessGroup::connect(&environment, &GroupOptions::default())?;
//!     let ranks = Tensor::from_slice(&[environment.rank as i64]);
//!     group.all_reduce(&ranks, Reduction::Sum)?; // 0 + 1
//! }
//! # Ok(())
//! # }
//! ```

mod address;
mod connections;
mod error;
mod group;
mod messages;
mod nccl;
mod options;
mod presence;
mod reducer;
mod sign;
mod signature;
mod store;
mod sync_batch_norm;

pub use error::{GroupError, Peer, Suspect};
pub use group::{ProcessGroup, Reduction};
pub use options::{GroupOptions, Protocol};
pub use reducer::Reducer;
pub use store::Store;
pub use sync_batch_norm::SyncBatchNorm;
