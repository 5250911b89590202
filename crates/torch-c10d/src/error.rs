//! What can go wrong between processes.

use std::fmt;
use std::time::Duration;

use launch_environment::{EnvironmentError, Master};
use libtorch_ext::Error;
use tch::Device;

/// Another process of the group, as an error names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its rank.
    pub rank: usize,
    /// Its address, where it told it.
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

/// What keeps a group from going on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Suspect {
    /// It gives no sign of life: it was killed, its machine is off, or the network to it is cut.
    Silent(Peer),
    /// It ended by itself, without an error in the group.
    Left(Peer),
    /// It met an error of its own first, which is this.
    Failed(Peer, String),
    /// It lives, and has not come to where the others wait.
    Behind {
        /// Who.
        peer: Peer,
        /// Collective calls behind it.
        calls: u64,
        /// Those behind this process.
        own: u64,
    },
    /// The store does not answer, so that nothing is known of anyone.
    Store(Master),
}

impl fmt::Display for Suspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(peer) => write!(
                f,
                "{peer} gives no sign of life: it was killed, or the network to it is cut"
            ),
            Self::Left(peer) => write!(f, "{peer} has ended"),
            Self::Failed(peer, message) => write!(f, "{peer} failed: {message}"),
            Self::Behind { peer, calls, own } => write!(
                f,
                "{peer} lives but has not come: it is at collective call {calls}, this rank at {own}"
            ),
            Self::Store(master) => write!(
                f,
                "rank 0 ({master}) does not answer: its process or its machine has ended, or the network to it is \
                 cut"
            ),
        }
    }
}

/// An error of a group of processes, as one of them sees it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The launcher's variables are not those of a group.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The store cannot be opened or reached.
    #[error("rank {rank}: the store of the group at {master} cannot be {action} within {} s", .timeout.as_secs_f64())]
    Store {
        /// This process.
        rank: usize,
        /// Where the store is.
        master: Master,
        /// What was tried.
        action: &'static str,
        /// For how long.
        timeout: Duration,
        /// What libtorch says.
        #[source]
        source: Box<Error>,
    },
    /// Not all processes have come.
    #[error(
        "rank {rank}: {} of {world_size} ranks have not come within {} s: {}",
        .missing.len(), .timeout.as_secs_f64(), list(.missing)
    )]
    Missing {
        /// This process.
        rank: usize,
        /// How many there should be.
        world_size: usize,
        /// Those that are not there.
        missing: Vec<usize>,
        /// For how long they were waited for.
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
        /// Who is to blame, as far as it can be told.
        suspects: Vec<Suspect>,
    },
    /// The processes made different calls, or with tensors of other kinds or shapes. None was carried out.
    #[error("rank {rank}: rank {peer} calls {theirs}, rank 0 calls {first}")]
    Mismatch {
        /// This process.
        rank: usize,
        /// The first one whose call is another than rank 0's.
        peer: usize,
        /// Its call.
        theirs: String,
        /// The call of rank 0.
        first: String,
    },
    /// A tensor that cannot be exchanged.
    #[error("rank {rank}: {operation} takes contiguous tensors on {device:?}, found one {found}")]
    Tensor {
        /// This process.
        rank: usize,
        /// The call.
        operation: &'static str,
        /// That of the group; the CPU is as good.
        device: Device,
        /// What it was given.
        found: String,
    },
    /// libtorch refused before anything was sent.
    #[error("rank {rank}: a call could not be made")]
    Native {
        /// This process.
        rank: usize,
        /// What it says.
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
