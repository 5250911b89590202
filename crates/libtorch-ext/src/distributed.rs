//! Several processes that work on one task, on one machine or on many.

mod environment;
mod slurm;

pub use environment::{Environment, EnvironmentError, Launcher, Master};
