//! The commands that a program linked against libtorch adds to the command line.
//!
//! This crate parses every command line and runs most commands itself. Training, CUDA and the plain engine need
//! libtorch, which this crate must not depend on. Instead, `effnet-torch` implements [`TorchCommands`] and passes the
//! implementation to [`main`](crate::main).

use std::sync::Arc;

use effnet::{Backend, Gradients, Parameters, Precision};
use serde::{Deserialize, Serialize};

use crate::arguments::{DeviceChoice, TrainingArguments};
use crate::training::settings::Settings;
use crate::{Outcome, Printer};

/// The commands and devices that libtorch provides.
pub trait TorchCommands: Sync {
    /// Chooses the device. Returns `None` to use the engine without libtorch, which is the case on the CPU unless
    /// `plain` is set. Must be called before anything else uses libtorch, which looks for CUDA only once.
    ///
    /// # Errors
    /// If the requested device does not exist.
    fn execution(
        &self,
        request: &TorchRequest,
        printer: &Printer,
    ) -> anyhow::Result<Option<Box<dyn TorchExecution>>>;

    /// Prepares a network whose layers `explain` needs gradients of, on the CPU with this many threads.
    ///
    /// # Errors
    /// If memory runs out.
    fn gradients(&self, parameters: &Parameters, threads: usize) -> anyhow::Result<Arc<dyn Gradients>>;

    /// Runs `command` (`train` or `finetune`) with these `defaults`.
    ///
    /// # Errors
    /// If training cannot start or continue.
    fn train(
        &self,
        command: &str,
        arguments: &TrainingArguments,
        defaults: Settings,
        printer: &Printer,
    ) -> anyhow::Result<Outcome>;

    /// Returns what `effnet env` reports about CUDA.
    fn cuda(&self) -> Cuda;

    /// Returns the folder that libtorch was loaded from. An installed program has its own copy.
    fn libtorch_folder(&self) -> Option<String>;
}

/// How libtorch should run a network.
#[derive(Debug, Clone, Copy)]
pub struct TorchRequest {
    /// The device.
    pub device: DeviceChoice,
    /// Whether to run the network layer by layer instead of with folded and fused layers.
    pub plain: bool,
    /// The numeric precision.
    pub precision: Precision,
    /// Number of CPU threads.
    pub threads: usize,
    /// Whether CUDA may multiply fp32 in TensorFloat-32.
    pub tf32: bool,
    /// Whether cuDNN should time its kernels for each batch shape.
    pub autotune: bool,
}

/// A libtorch device that networks are prepared for.
pub trait TorchExecution {
    /// Returns whether this is a CUDA device.
    fn is_cuda(&self) -> bool;

    /// Prepares a network. With `features`, the network returns the pooled features before the classifier.
    ///
    /// # Errors
    /// If memory runs out, or if the device does not support the precision.
    fn backend(&self, parameters: &Parameters, features: bool) -> anyhow::Result<Box<dyn Backend>>;
}

/// The CUDA support that libtorch finds on this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cuda {
    /// Whether CUDA can be used.
    pub cuda: bool,
    /// Number of devices.
    pub cuda_devices: i64,
    /// Whether CUDA graphs are available.
    pub cuda_graphs: bool,
    /// The reason why an installed driver is not used, or not fully used.
    pub cuda_problem: Option<String>,
}
