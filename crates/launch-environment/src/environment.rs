//! A process's place in a group, independent of the launcher.

use std::fmt;

/// The address of rank 0, where the processes rendezvous.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Master {
    /// The host name or IP address.
    pub address: String,
    /// The TCP port.
    pub port: u16,
}

impl fmt::Display for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.address.contains(':') {
            write!(f, "[{}]:{}", self.address, self.port)
        } else {
            write!(f, "{}:{}", self.address, self.port)
        }
    }
}

/// The launcher whose variables describe the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launcher {
    /// A launcher that sets `RANK`, `WORLD_SIZE`, `MASTER_ADDR` and `MASTER_PORT`, which PyTorch's `env://` reads:
    /// torchrun, the Kubernetes PyTorchJob or a shell.
    Variables,
    /// Slurm's `srun`.
    Slurm,
}

/// A process's place in a group, as its launcher describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// The launcher that set the variables.
    pub launcher: Launcher,
    /// The rank of this process, at least 0 and below `world_size`.
    pub rank: usize,
    /// The number of processes in the group.
    pub world_size: usize,
    /// The rank of this process among those on its machine; equal to `rank` if the launcher does not set it.
    pub local_rank: usize,
    /// The number of processes on this machine, if the launcher sets it (`LOCAL_WORLD_SIZE`).
    pub local_world_size: Option<usize>,
    /// The address where the processes rendezvous.
    pub master: Master,
    /// Whether torchrun's agent already serves the store at `master`, so that every rank is a client
    /// (`TORCHELASTIC_USE_AGENT_STORE`). Otherwise, rank 0 serves it.
    pub agent_store: bool,
    /// How many times the group has been restarted (`TORCHELASTIC_RESTART_COUNT`, `SLURM_RESTART_COUNT`).
    pub restart_count: u64,
    /// The id of the run, which stays the same across restarts (`TORCHELASTIC_RUN_ID`, `SLURM_JOB_ID`).
    pub run_id: Option<String>,
}

impl Environment {
    /// Returns whether this is rank 0, which writes files and prints on behalf of all ranks.
    pub fn is_first(&self) -> bool {
        self.rank == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_version_6_is_written_in_brackets() {
        let master = Master {
            address: "fe80::1".to_owned(),
            port: 29500,
        };
        assert_eq!(master.to_string(), "[fe80::1]:29500");
    }
}
