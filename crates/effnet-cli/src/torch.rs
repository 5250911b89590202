//! What a program with libtorch adds to the command line.
//!
//! This crate parses every command line and runs most commands itself. Training, CUDA and the plain engine
//! need libtorch, which this crate must not depend on. So `effnet-torch` implements [`TorchCommands`] and
//! passes it to [`main`](crate::main).

use effnet::{Backend, Parameters, Precision};
use serde::{Deserialize, Serialize};

use crate::arguments::{DeviceChoice, TrainingArguments};
use crate::training::settings::Settings;
use crate::{Outcome, Printer};

/// The commands and devices of a program with libtorch.
pub trait TorchCommands: Sync {
    /// Chooses the device. `None` for the engine without libtorch: on the CPU, unless `plain` is set. To be called
    /// before anything else uses libtorch, which looks for CUDA only once.
    ///
    /// # Errors
    /// If the requested device does not exist.
    fn execution(
        &self,
        request: &TorchRequest,
        printer: &Printer,
    ) -> anyhow::Result<Option<Box<dyn TorchExecution>>>;

    /// Runs `command` (`train` or `finetune`) with these `defaults`.
    ///
    /// # Errors
    /// If the training cannot start or continue.
    fn train(
        &self,
        command: &str,
        arguments: &TrainingArguments,
        defaults: Settings,
        printer: &Printer,
    ) -> anyhow::Result<Outcome>;

    /// What `effnet env` reports about CUDA.
    fn cuda(&self) -> Cuda;

    /// The folder that libtorch was loaded from: an installed program has a copy of its own.
    fn libtorch_folder(&self) -> Option<String>;
}

/// How libtorch is to compute a network.
#[derive(Debug, Clone, Copy)]
pub struct TorchRequest {
    /// The device.
    pub device: DeviceChoice,
    /// Whether to run the network layer by layer instead of folded and fused.
    pub plain: bool,
    /// The numeric precision.
    pub precision: Precision,
    /// Number of CPU threads.
    pub threads: usize,
    /// Whether CUDA may multiply fp32 in TensorFloat-32.
    pub tf32: bool,
    /// Whether cuDNN times its kernels for each batch shape.
    pub autotune: bool,
}

/// A libtorch device that networks are prepared for.
pub trait TorchExecution {
    /// Whether it is a CUDA device.
    fn is_cuda(&self) -> bool;

    /// Prepares a network; with `features` it returns the pooled features before the classifier.
    ///
    /// # Errors
    /// If memory runs out, and if the device does not support the precision.
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
    /// Why an installed driver is not used, or not fully.
    pub cuda_problem: Option<String>,
}
