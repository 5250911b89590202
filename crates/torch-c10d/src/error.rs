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

/// A reason why a group is stuck.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Suspect {
    /// The process sends no heartbeats: it was killed, its machine is down, or the network connection to it was lost.
    Silent(Peer),
    /// The process exited without reporting an error.
    Exited(Peer),
    /// The process failed first, with this error.
    Failed(Peer, String),
    /// The process is alive, but has not reached the call in which the others are waiting.
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
                "{peer} does not respond: its process was killed, or the network connection to it was lost"
            ),
            Self::Exited(peer) => write!(f, "{peer} has exited"),
            Self::Failed(peer, message) => write!(f, "{peer} failed: {message}"),
            Self::Behind { peer, calls, own } => write!(
                f,
                "{peer} is alive but behind: it is at collective call {calls}, this rank is at {own}"
            ),
            Self::Store(master) => write!(
                f,
                "rank 0 ({master}) does not respond: its process has exited, its machine is down, or the network \
                 connection to it was lost"
            ),
        }
    }
}

/// An error in a process group, as one of its processes sees it.
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
        /// The address of the store.
        master: Master,
        /// The failed action, as a participle: `opened` or `reached`.
        action: &'static str,
        /// How long this process kept trying.
        timeout: Duration,
        /// libtorch's error.
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
        /// libtorch's error message.
        message: String,
        /// The ranks that caused the failure, where known.
        suspects: Vec<Suspect>,
    },
    /// The processes made different calls, or passed tensors that differ in kind or shape. None of the calls was
    /// carried out.
    #[error(
        "rank {rank}: mismatched collective calls: rank {peer} called {theirs}, but rank 0 called {first}"
    )]
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
    /// A tensor cannot be sent: it is not contiguous, or it is on a device other than the group's.
    #[error("rank {rank}: {operation} expected a contiguous tensor on {}, found one {found}", device_name(*.device))]
    Tensor {
        /// This process.
        rank: usize,
        /// The call.
        operation: &'static str,
        /// The group's device; the CPU is accepted too.
        device: Device,
        /// What was wrong with the tensor.
        found: String,
    },
    /// libtorch failed on this rank, outside any collective call.
    #[error("rank {rank}: libtorch failed")]
    Native {
        /// This process.
        rank: usize,
        /// libtorch's error.
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
