//! Errors of process groups.

use std::fmt;
use std::time::Duration;

use launch_environment::{EnvironmentError, Master};
use libtorch_ext::{Error, device_name};
use tch::Device;

/// Another process of the group, as an error names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its rank.
    pub rank: usize,
    /// Its address, if it published one.
    pub address: Option<String>,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {}", self.rank)?;
        match &self.address {
            Some(address) => write!(f, " ({address})"),
            None => Ok(()),
        }
    }
}

/// Why a group is stuck.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Suspect {
    /// No heartbeat: the process was killed, its machine is down, or the network connection to it is lost.
    Silent(Peer),
    /// The process exited, without an error in the group.
    Exited(Peer),
    /// The process failed first, with this error.
    Failed(Peer, String),
    /// The process is alive, but has not reached the call in which the others wait.
    Behind {
        /// The process.
        peer: Peer,
        /// How many collective calls it has made.
        calls: u64,
        /// How many this process has made.
        own: u64,
    },
    /// The store does not respond, so the state of the other ranks is unknown.
    Store(Master),
}

impl fmt::Display for Suspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(peer) => write!(
                f,
                "{peer} does not respond: its process was killed, or the network connection to it is lost"
            ),
            Self::Exited(peer) => write!(f, "{peer} has exited"),
            Self::Failed(peer, message) => write!(f, "{peer} failed: {message}"),
            Self::Behind { peer, calls, own } => write!(
                f,
                "{peer} is alive but behind: it is at collective call {calls}, this rank at {own}"
            ),
            Self::Store(master) => write!(
                f,
                "rank 0 ({master}) does not respond: its process has exited, its machine is down, or the network \
                 connection to it is lost"
            ),
        }
    }
}

/// An error of a group of processes, as one of them sees it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The launcher's environment variables do not describe a group.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The store cannot be opened or reached.
    #[error("rank {rank}: the group's store at {master} could not be {action} within {} s", .timeout.as_secs_f64())]
    Store {
        /// This process.
        rank: usize,
        /// Where the store is.
        master: Master,
        /// What was tried.
        action: &'static str,
        /// How long it was tried.
        timeout: Duration,
        /// What libtorch says.
        #[source]
        source: Box<Error>,
    },
    /// Some processes did not connect in time.
    #[error(
        "rank {rank}: {} of {world_size} ranks did not connect within {} s: {}",
        .missing.len(), .timeout.as_secs_f64(), list(.missing)
    )]
    Missing {
        /// This process.
        rank: usize,
        /// The number of processes in the group.
        world_size: usize,
        /// The missing ranks.
        missing: Vec<usize>,
        /// How long this process waited for them.
        timeout: Duration,
    },
    /// A collective call failed, or took longer than the timeout.
    #[error("rank {rank}: {operation} failed: {message}{}", reasons(.suspects))]
    Collective {
        /// This process.
        rank: usize,
        /// The call.
        operation: &'static str,
        /// What libtorch says.
        message: String,
        /// The ranks that caused it, as far as is known.
        suspects: Vec<Suspect>,
    },
    /// The processes made different calls, or passed tensors of different kinds or shapes. None of the calls
    /// was carried out.
    #[error("rank {rank}: rank {peer} calls {theirs}, but rank 0 calls {first}")]
    Mismatch {
        /// This process.
        rank: usize,
        /// The first rank whose call differs from rank 0's.
        peer: usize,
        /// Its call.
        theirs: String,
        /// The call of rank 0.
        first: String,
    },
    /// A tensor that cannot be sent: not contiguous, or on a device that is not the group's.
    #[error("rank {rank}: {operation} takes contiguous tensors on {}, found one {found}", device_name(*.device))]
    Tensor {
        /// This process.
        rank: usize,
        /// The call.
        operation: &'static str,
        /// The group's device; the CPU is accepted too.
        device: Device,
        /// What the tensor was instead.
        found: String,
    },
    /// libtorch failed on this rank, outside of a collective call.
    #[error("rank {rank}: libtorch failed")]
    Native {
        /// This process.
        rank: usize,
        /// What libtorch says.
        #[source]
        source: Box<Error>,
    },
}

fn list(ranks: &[usize]) -> String {
    let names: Vec<String> = ranks.iter().map(ToString::to_string).collect();
    names.join(", ")
}

fn reasons(suspects: &[Suspect]) -> String {
    suspects
        .iter()
        .fold(String::new(), |text, suspect| format!("{text}; {suspect}"))
}
