//! How a group is made.

use std::time::Duration;

use tch::Device;

/// What the processes of a group say to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// All of them are of this library: they give signs of life, by which errors name who lacks, and agree
    /// on each call before it is made.
    #[default]
    Checked,
    /// What `torch.distributed.init_process_group("gloo")` does, and no more: some of the processes are
    /// of PyTorch. Ranks that disagree about the size of a tensor end each other's processes.
    PyTorch,
}

/// How a group is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessGroupOptions {
    /// How long a process waits for the others: to come, and in each call.
    pub timeout: Duration,
    /// What they say to each other.
    pub protocol: Protocol,
    /// Where the tensors that are exchanged lie, beside the CPU. A CUDA device, which has to be this rank's
    /// alone, goes through NCCL, in `libeffnet_nccl.so`, which the feature `nccl` builds.
    pub device: Device,
}

impl Default for ProcessGroupOptions {
    /// Ten minutes, among processes of this library, on the CPU.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(600),
            protocol: Protocol::Checked,
            device: Device::Cpu,
        }
    }
}
