//! Options of a process group.

use std::time::Duration;

use tch::Device;

/// The messages that the processes of a group exchange besides tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// For groups in which all processes use this library. They publish heartbeats, so that errors can name the
    /// missing ranks, and compare each call before making it.
    #[default]
    Checked,
    /// Exactly what `torch.distributed.init_process_group("gloo")` does, for groups with ranks that run PyTorch.
    /// Ranks that disagree on the size of a tensor abort each other's processes.
    PyTorch,
}

/// Options for connecting a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessGroupOptions {
    /// How long a process waits for the others, both when connecting and in each call.
    pub timeout: Duration,
    /// The messages that the processes exchange besides tensors.
    pub protocol: Protocol,
    /// The device of the tensors; tensors on the CPU are accepted too. A CUDA device must not be shared with
    /// another rank. It requires `libeffnet_nccl.so`, which the feature `nccl` builds.
    pub device: Device,
}

impl Default for ProcessGroupOptions {
    /// Returns options with a timeout of ten minutes and [`Protocol::Checked`], for tensors on the CPU.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(600),
            protocol: Protocol::Checked,
            device: Device::Cpu,
        }
    }
}

impl ProcessGroupOptions {
    /// Sets [`timeout`](Self::timeout).
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets [`protocol`](Self::protocol).
    #[must_use]
    pub fn with_protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// Sets [`device`](Self::device).
    #[must_use]
    pub fn with_device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }
}
