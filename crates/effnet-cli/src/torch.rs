//! What a program with libtorch adds to the command line.
//!
//! This crate parses every call and runs most of them by itself. Training, CUDA and the plain engine need
//! libtorch, which `effnet` does not have: `effnet-torch` passes an implementation of [`TorchCommands`] to
//! [`main`](crate::main).

use effnet::{Backend, Parameters, Precision};
use serde::{Deserialize, Serialize};

use crate::arguments::{DeviceChoice, TrainingArguments};
use crate::training::settings::Settings;
use crate::{Outcome, Printer};

/// The commands and devices of a program with libtorch.
pub trait TorchCommands: Sync {
    /// Settles where a network computes. `None` where the engine without libtorch does: on the CPU, unless
    /// `plain` asks for the network's own layers. It is called before anything else touches libtorch, which
    /// looks for CUDA once and remembers.
    ///
    /// # Errors
    /// When a device was named that is not there.
    fn execution(
        &self,
        request: &TorchRequest,
        printer: &Printer,
    ) -> anyhow::Result<Option<Box<dyn TorchExecution>>>;

    /// Runs `command`, `train` or `finetune`, which has these `defaults`.
    ///
    /// # Errors
    /// Whatever keeps it from training.
    fn train(
        &self,
        command: &str,
        arguments: &TrainingArguments,
        defaults: Settings,
        printer: &Printer,
    ) -> anyhow::Result<Outcome>;

    /// What `effnet env` says of libtorch.
    fn cuda(&self) -> Cuda;

    /// The folder that libtorch was loaded from, which is another one once the program is installed.
    fn libtorch_folder(&self) -> Option<String>;
}

/// What decides how libtorch computes a network.
#[derive(Debug, Clone, Copy)]
pub struct TorchRequest {
    /// Where.
    pub device: DeviceChoice,
    /// Whether by the network's own layers, one call after the other, rather than folded and fused.
    pub plain: bool,
    /// In what.
    pub precision: Precision,
    /// Threads on a CPU.
    pub threads: usize,
    /// Whether CUDA may multiply 32-bit floats in TensorFloat-32.
    pub tf32: bool,
    /// Whether cuDNN's kernels are timed for each shape of a batch.
    pub autotune: bool,
}

/// A device of libtorch's that networks are made for.
pub trait TorchExecution {
    /// Whether it is a CUDA device.
    fn is_cuda(&self) -> bool;

    /// Makes a network ready to run; with `features` it ends with the averages of the head's activations.
    ///
    /// # Errors
    /// When memory is short, or the device does not compute in the precision.
    fn backend(&self, parameters: &Parameters, features: bool) -> anyhow::Result<Box<dyn Backend>>;
}

/// What libtorch finds of CUDA on this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cuda {
    /// Whether it can be used.
    pub cuda: bool,
    /// How many devices there are.
    pub cuda_devices: i64,
    /// Whether batches can be recorded as CUDA graphs.
    pub cuda_graphs: bool,
    /// What keeps a driver that is there from being used, or used in full.
    pub cuda_problem: Option<String>,
}
