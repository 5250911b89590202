//! A group of processes and what they do together.

use std::ffi::c_char;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

use super::connections::{Connections, RawGroup};
use super::presence::{Place, Presence};
use super::signature::{Operation, PAYLOAD, Signature};
use super::{Environment, GroupError, Store, address};
use crate::Error;
use crate::error::check;

unsafe extern "C" {
    fn effnet_group_all_reduce(
        group: *const RawGroup,
        tensor: *const C_tensor,
        reduction: i32,
    ) -> *mut c_char;
    fn effnet_group_broadcast(group: *const RawGroup, tensor: *const C_tensor, root: i32) -> *mut c_char;
    fn effnet_group_all_gather(
        group: *const RawGroup,
        input: *const C_tensor,
        outputs: *const *const C_tensor,
        count: usize,
    ) -> *mut c_char;
    fn effnet_group_barrier(group: *const RawGroup) -> *mut c_char;
}

/// What a reduction makes of the values of all ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// Their sum.
    Sum,
    /// The largest.
    Max,
    /// The smallest.
    Min,
}

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
pub struct GroupOptions {
    /// How long a process waits for the others: to come, and in each call.
    pub timeout: Duration,
    /// What they say to each other.
    pub protocol: Protocol,
}

impl Default for GroupOptions {
    /// Ten minutes, among processes of this library.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(600),
            protocol: Protocol::Checked,
        }
    }
}

/// The processes that an [`Environment`] describes, connected. Clones are handles to the same group.
///
/// Every rank makes the same calls in the same order. A call returns when all ranks have made it, or fails
/// after the timeout, at once where the connection to a rank breaks; a group that has failed is of no more
/// use. Tensors are contiguous and on the CPU.
#[derive(Debug, Clone)]
pub struct ProcessGroup(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rank: usize,
    world_size: usize,
    timeout: Duration,
    address: Option<IpAddr>,
    // In the order of their end: connections, signs of life, the store.
    connections: Connections,
    presence: Option<Presence>,
    store: Store,
    /// The same without a prefix.
    base: Store,
}

/// Below it lies what all processes of a start have in common.
fn prefix(environment: &Environment, protocol: Protocol) -> String {
    let restart = environment.restart_count;
    match (protocol, environment.agent_store) {
        (Protocol::Checked, _) => format!("effnet/{restart}"),
        // As PyTorch nests its own.
        (Protocol::PyTorch, true) => format!("/worker/attempt_{restart}/default_pg/0//cpu/"),
        (Protocol::PyTorch, false) => "default_pg/0//cpu/".to_owned(),
    }
}

impl ProcessGroup {
    /// Waits for all processes of `environment`, and connects them. Rank 0 serves the store unless
    /// torchrun's agent does.
    ///
    /// The others reach a process at the address that its packets to the master leave from; the variable
    /// `GLOO_SOCKET_IFNAME` names another interface, as in PyTorch.
    ///
    /// # Errors
    /// [`GroupError::Store`], [`GroupError::Missing`], [`GroupError::Collective`] when sockets cannot be
    /// opened.
    pub fn connect(environment: &Environment, options: &GroupOptions) -> Result<Self, GroupError> {
        let Environment { rank, world_size, .. } = *environment;
        let GroupOptions { timeout, protocol } = *options;
        let serves = rank == 0 && !environment.agent_store;
        let master = &environment.master;
        let unreachable = |source| GroupError::Store {
            rank,
            master: master.clone(),
            action: if serves { "opened" } else { "reached" },
            timeout,
            source: Box::new(source),
        };
        let clients = match protocol {
            Protocol::Checked => 0,
            Protocol::PyTorch => world_size,
        };
        let base = Store::connect_counted(master, serves, clients, timeout).map_err(unreachable)?;
        let store = base
            .prefixed(&prefix(environment, protocol))
            .map_err(unreachable)?;
        let own = match std::env::var_os("GLOO_SOCKET_IFNAME") {
            Some(_) => None,
            None => address::towards(master),
        };
        let (presence, address) = match protocol {
            Protocol::PyTorch => (None, own),
            Protocol::Checked => {
                let place = Place {
                    rank,
                    world_size,
                    master: master.clone(),
                    serves,
                    address: own,
                };
                let signs = store.prefixed("presence").map_err(unreachable)?;
                let presence = Presence::begin(place, &signs).map_err(unreachable)?;
                let all = presence.gather(timeout).map_err(|missing| GroupError::Missing {
                    rank,
                    world_size,
                    missing,
                    timeout,
                })?;
                (Some(presence), address::choose(own, &all))
            }
        };
        let connections = Connections::new(&store, rank, world_size, address, timeout).map_err(|source| {
            GroupError::Collective {
                rank,
                operation: "connecting the ranks",
                message: source.to_string(),
                suspects: presence.as_ref().map(Presence::suspects).unwrap_or_default(),
            }
        })?;
        Ok(Self(Arc::new(Inner {
            rank,
            world_size,
            timeout,
            address,
            connections,
            presence,
            store,
            base,
        })))
    }

    /// This process, from 0 to below [`world_size`](Self::world_size).
    pub fn rank(&self) -> usize {
        self.0.rank
    }

    /// The number of processes.
    pub fn world_size(&self) -> usize {
        self.0.world_size
    }

    /// What all starts of the group share, where its launcher serves the store; otherwise it is new with
    /// each start.
    ///
    /// # Errors
    /// [`GroupError::Native`] when memory is short.
    pub fn run_store(&self) -> Result<Store, GroupError> {
        self.local(|| self.0.base.prefixed("effnet/run"))
    }

    pub(super) fn connections(&self) -> &Connections {
        &self.0.connections
    }

    /// More connections between the same processes, for calls that do not wait for the others.
    pub(super) fn more_connections(&self, name: &str) -> Result<Connections, GroupError> {
        let inner = &*self.0;
        let more = || {
            let store = inner.store.prefixed(name)?;
            Connections::new(&store, inner.rank, inner.world_size, inner.address, inner.timeout)
        };
        self.call("connecting the ranks", more)
    }

    /// Replaces the values of `tensor` on every rank by their reduction over all ranks, the same bits
    /// everywhere.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn all_reduce(&self, tensor: &Tensor, reduction: Reduction) -> Result<(), GroupError> {
        self.agree(Operation::AllReduce, Some(tensor))?;
        let connections = self.0.connections.as_ptr();
        // SAFETY: group and tensor are alive; all ranks have tensors like this one.
        self.call("all_reduce", || {
            check(unsafe { effnet_group_all_reduce(connections, tensor.as_ptr(), reduction as i32) })
        })
    }

    /// Replaces the values of `tensor` on every rank by those of rank `root`.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn broadcast(&self, tensor: &Tensor, root: usize) -> Result<(), GroupError> {
        self.agree(Operation::Broadcast, Some(tensor))?;
        let connections = self.0.connections.as_ptr();
        // SAFETY: group and tensor are alive; all ranks have tensors like this one.
        self.call("broadcast", || {
            check(unsafe { effnet_group_broadcast(connections, tensor.as_ptr(), root as i32) })
        })
    }

    /// The tensors of all ranks, by rank; they are all of one shape.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn all_gather(&self, tensor: &Tensor) -> Result<Vec<Tensor>, GroupError> {
        self.agree(Operation::AllGather, Some(tensor))?;
        self.call("all_gather", || self.gather(tensor))
    }

    fn gather(&self, tensor: &Tensor) -> Result<Vec<Tensor>, Error> {
        let like = || Ok(tensor.f_detach()?.f_empty_like()?);
        let outputs: Vec<Tensor> = (0..self.0.world_size)
            .map(|_| like())
            .collect::<Result<_, Error>>()?;
        let pointers: Vec<*const C_tensor> = outputs.iter().map(Tensor::as_ptr).collect();
        let connections = self.0.connections.as_ptr();
        // SAFETY: group and tensors are alive; there are as many of them as ranks.
        check(unsafe {
            effnet_group_all_gather(connections, tensor.as_ptr(), pointers.as_ptr(), pointers.len())
        })?;
        Ok(outputs)
    }

    /// Four numbers of each rank, by rank, in a single exchange.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn all_gather_numbers(&self, own: [f64; PAYLOAD]) -> Result<Vec<[f64; PAYLOAD]>, GroupError> {
        let signature = Signature::new(Operation::Numbers, None, own);
        let all = self.exchange(signature)?;
        Ok(all.into_iter().map(|signature| signature.payload).collect())
    }

    /// The bytes of each rank, by rank, of any length.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn all_gather_bytes(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, GroupError> {
        let lengths = self.all_gather_numbers([own.len() as f64, 0.0, 0.0, 0.0])?;
        let lengths: Vec<usize> = lengths.iter().map(|numbers| numbers[0] as usize).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        if longest == 0 {
            return Ok(vec![Vec::new(); lengths.len()]);
        }
        let mut padded = own.to_vec();
        padded.resize(longest, 0);
        let all = self.all_gather(&self.local(|| Ok(Tensor::f_from_slice(&padded)?))?)?;
        let bytes = |(tensor, length): (&Tensor, &usize)| {
            let mut bytes = vec![0; longest];
            self.local(|| Ok(tensor.f_copy_data(&mut bytes, longest)?))?;
            bytes.truncate(*length);
            Ok(bytes)
        };
        all.iter().zip(&lengths).map(bytes).collect()
    }

    /// The bytes of rank `root`; those that other ranks give do not count.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn broadcast_bytes(&self, own: &[u8], root: usize) -> Result<Vec<u8>, GroupError> {
        let lengths = self.all_gather_numbers([own.len() as f64, 0.0, 0.0, 0.0])?;
        let length = lengths.get(root).map_or(0, |numbers| numbers[0] as usize);
        if length == 0 {
            return Ok(Vec::new());
        }
        let mut bytes = if self.0.rank == root {
            own.to_vec()
        } else {
            vec![0; length]
        };
        let tensor = self.local(|| Ok(Tensor::f_from_slice(&bytes)?))?;
        self.broadcast(&tensor, root)?;
        self.local(|| Ok(tensor.f_copy_data(&mut bytes, length)?))?;
        Ok(bytes)
    }

    /// Whether any rank says so.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn any(&self, own: bool) -> Result<bool, GroupError> {
        let all = self.all_gather_numbers([f64::from(u8::from(own)), 0.0, 0.0, 0.0])?;
        Ok(all.iter().any(|numbers| numbers[0] != 0.0))
    }

    /// Waits until all ranks are here.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn barrier(&self) -> Result<(), GroupError> {
        self.agree(Operation::Barrier, None)?;
        let connections = self.0.connections.as_ptr();
        // SAFETY: the group is alive.
        self.call("barrier", || check(unsafe { effnet_group_barrier(connections) }))
    }

    /// Tells the others that an error of this process's own ends it, for their own messages.
    pub fn report_failure(&self, message: &str) {
        if let Some(presence) = &self.0.presence {
            presence.fail(message);
        }
    }

    /// Makes sure that a call with `tensor` ends no process: this tensor can be exchanged, and all ranks
    /// have one like it.
    pub(super) fn agree(&self, operation: Operation, tensor: Option<&Tensor>) -> Result<(), GroupError> {
        if let Some(tensor) = tensor
            && (tensor.device() != Device::Cpu || !tensor.is_contiguous())
        {
            let found = if tensor.device() == Device::Cpu {
                format!("of the strides {:?} for {:?}", tensor.stride(), tensor.size())
            } else {
                format!("on {:?}", tensor.device())
            };
            return Err(GroupError::Tensor {
                rank: self.0.rank,
                operation: operation.name(),
                found,
            });
        }
        if self.0.presence.is_none() {
            return Ok(());
        }
        let signature = Signature::new(operation, tensor, [0.0; PAYLOAD]);
        self.exchange(signature).map(drop)
    }

    /// The signatures of all ranks, which agree.
    fn exchange(&self, own: Signature) -> Result<Vec<Signature>, GroupError> {
        let numbers = self.local(|| Ok(Tensor::f_from_slice(&own.to_numbers())?))?;
        let all = self.call(own.name(), || self.gather(&numbers))?;
        let parse = |tensor: &Tensor| {
            let mut numbers = vec![0i64; tensor.numel()];
            let length = numbers.len();
            tensor.f_to_kind(Kind::Int64)?.f_copy_data(&mut numbers, length)?;
            Signature::from_numbers(&numbers)
                .ok_or_else(|| Error::Native("a rank runs another program".to_owned()))
        };
        let all: Vec<Signature> = self.local(|| all.iter().map(parse).collect::<Result<_, Error>>())?;
        let first = all[0];
        match all.iter().position(|other| !other.agrees_with(&first)) {
            None => Ok(all),
            Some(peer) => Err(GroupError::Mismatch {
                rank: self.0.rank,
                peer,
                theirs: all[peer].to_string(),
                first: first.to_string(),
            }),
        }
    }

    fn local<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, GroupError> {
        let rank = self.0.rank;
        work().map_err(|source| GroupError::Native {
            rank,
            source: Box::new(source),
        })
    }

    /// Makes a call, and says whom it failed for.
    pub(super) fn call<T>(
        &self,
        operation: &'static str,
        call: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, GroupError> {
        if let Some(presence) = &self.0.presence {
            presence.count();
        }
        call().map_err(|error| self.explain(operation, &error.to_string()))
    }

    /// The error of a call that failed in the midst of other work, such as the backward pass of a
    /// [`Reducer`](super::Reducer), with those who are to blame as far as it can be told. It takes some
    /// seconds to find that out.
    pub fn explain(&self, operation: &'static str, message: &str) -> GroupError {
        let presence = self.0.presence.as_ref();
        GroupError::Collective {
            rank: self.0.rank,
            operation,
            message: message.lines().next().unwrap_or_default().to_owned(),
            suspects: presence.map(Presence::suspects).unwrap_or_default(),
        }
    }
}
