#![doc = include_str!("../README.md")]

mod detect;
mod environment;
mod pytorch;
mod slurm;
mod variables;

pub use environment::{Environment, Launcher, Master};
pub use variables::EnvironmentError;
