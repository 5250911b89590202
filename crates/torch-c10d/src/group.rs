//! A group of processes and its collective calls.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use launch_environment::Environment;
use libtorch_ext::{Error, device_name};
use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

use crate::boundary::check;
use crate::connections::Connections;
use crate::presence::{Place, Presence};
use crate::raw::{
    effnet_group_all_gather, effnet_group_all_reduce, effnet_group_barrier, effnet_group_broadcast,
};
use crate::signature::{Operation, PAYLOAD, Signature};
use crate::{GroupError, ProcessGroupOptions, Protocol, Store, address};

/// How a reduction combines the values of all ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)] // the numbers of `effnet_reduction` in shim/api.h
pub enum Reduction {
    /// Their sum.
    Sum = 0,
    /// The largest value.
    Max = 1,
    /// The smallest value.
    Min = 2,
}

/// A connected group of the processes described by an [`Environment`]. Clones are handles to the same group.
///
/// Every rank must make the same calls in the same order. A call returns once all ranks have made it. It fails
/// after the timeout, or as soon as the connection to a rank breaks; a group that has failed must be dropped.
/// Tensors must be contiguous, and on the CPU or the group's [`device`](Self::device).
#[derive(Debug, Clone)]
pub struct ProcessGroup(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rank: usize,
    world_size: usize,
    timeout: Duration,
    device: Device,
    address: Option<IpAddr>,
    // Dropped in this order: connections, heartbeats, store.
    connections: Connections,
    /// The number of calls to [`ProcessGroup::more_connections`].
    more: AtomicU64,
    presence: Option<Presence>,
    store: Store,
    /// The same store without a prefix.
    base: Store,
}

/// Returns the prefix of the group's keys in the store.
fn prefix(environment: &Environment, protocol: Protocol) -> String {
    let restart = environment.restart_count;
    match (protocol, environment.agent_store) {
        (Protocol::Checked, _) => format!("effnet/{restart}"),
        // The prefixes that PyTorch uses.
        (Protocol::PyTorch, true) => format!("/worker/attempt_{restart}/default_pg/0//cpu/"),
        (Protocol::PyTorch, false) => "default_pg/0//cpu/".to_owned(),
    }
}

impl ProcessGroup {
    /// Waits for all processes of `environment`, and connects them. Rank 0 serves the store unless torchrun's agent
    /// already does.
    ///
    /// A process listens on the local address of its route to the master; the environment variable
    /// `GLOO_SOCKET_IFNAME` selects a different interface, as in PyTorch.
    ///
    /// # Errors
    /// [`GroupError::Store`], [`GroupError::Missing`], and [`GroupError::Collective`] when sockets cannot be opened.
    pub fn connect(environment: &Environment, options: &ProcessGroupOptions) -> Result<Self, GroupError> {
        let Environment { rank, world_size, .. } = *environment;
        let ProcessGroupOptions {
            timeout,
            protocol,
            device,
        } = *options;
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
        let mut group = Self(Arc::new(Inner {
            rank,
            world_size,
            timeout,
            device: Device::Cpu,
            address,
            connections,
            more: AtomicU64::new(0),
            presence,
            store,
            base,
        }));
        group.connect_devices(device)?;
        Ok(group)
    }

    /// Connects the CUDA devices of the ranks. Either all ranks have one, or none has.
    fn connect_devices(&mut self, device: Device) -> Result<(), GroupError> {
        if self.0.presence.is_some() {
            let kinds = self.all_gather_numbers([f64::from(u8::from(device.is_cuda())), 0.0, 0.0, 0.0])?;
            let described = |rank: usize| {
                let device = if kinds[rank][0] == 0.0 {
                    "the CPU"
                } else {
                    "a CUDA device"
                };
                format!("connect on {device}")
            };
            if let Some(peer) = kinds.iter().position(|kind| kind[0] != kinds[0][0]) {
                return Err(GroupError::Mismatch {
                    rank: self.0.rank,
                    peer,
                    theirs: described(peer),
                    first: described(0),
                });
            }
        }
        let (Device::Cuda(index), Some(inner)) = (device, Arc::get_mut(&mut self.0)) else {
            return Ok(());
        };
        let (rank, world_size, timeout) = (inner.rank, inner.world_size, inner.timeout);
        let added = inner
            .connections
            .add_device(&inner.store, rank, world_size, index, timeout);
        inner.device = device;
        added.map_err(|error| self.explain("connecting the devices of the ranks", &error.to_string()))
    }

    /// The rank of this process, at least 0 and below [`world_size`](Self::world_size).
    pub fn rank(&self) -> usize {
        self.0.rank
    }

    /// The number of processes in the group.
    pub fn world_size(&self) -> usize {
        self.0.world_size
    }

    /// The device of the group's tensors; tensors on the CPU are accepted too.
    pub fn device(&self) -> Device {
        self.0.device
    }

    /// The part of the store that persists across restarts of the group if the launcher serves the store;
    /// otherwise it is empty after each restart.
    ///
    /// # Errors
    /// [`GroupError::Native`] when out of memory.
    pub fn run_store(&self) -> Result<Store, GroupError> {
        self.local(|| self.0.base.prefixed("effnet/run"))
    }

    pub(crate) fn connections(&self) -> &Connections {
        &self.0.connections
    }

    /// Opens additional connections between the same processes, for calls that run concurrently with the group's own.
    pub(crate) fn more_connections(&self) -> Result<Connections, GroupError> {
        let inner = &*self.0;
        // A prefix that was used before holds addresses of connections that may be closed by now.
        let number = inner.more.fetch_add(1, Ordering::Relaxed);
        let more = || {
            let store = inner.store.prefixed(&format!("more/{number}"))?;
            Connections::new(&store, inner.rank, inner.world_size, inner.address, inner.timeout)
        };
        self.call("connecting the ranks", more)
    }

    /// Replaces the values of `tensor` on every rank with their reduction over all ranks. The result is
    /// bit-identical on all ranks.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn all_reduce(&self, tensor: &Tensor, reduction: Reduction) -> Result<(), GroupError> {
        self.agree(Operation::AllReduce, Some(tensor))?;
        let connections = self.0.connections.as_ptr();
        // SAFETY: group and tensor are alive; all ranks have tensors like this one.
        self.call("all_reduce", || {
            check(unsafe { effnet_group_all_reduce(connections, tensor.as_ptr(), reduction) })
        })
    }

    /// Replaces the values of `tensor` on every rank with those of rank `root`.
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

    /// Gathers one tensor from each rank, in rank order. All tensors must have the same shape.
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
        // SAFETY: group and tensors are alive; there is one output per rank.
        check(unsafe {
            effnet_group_all_gather(connections, tensor.as_ptr(), pointers.as_ptr(), pointers.len())
        })?;
        Ok(outputs)
    }

    /// Waits until all ranks have made this call.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn barrier(&self) -> Result<(), GroupError> {
        self.agree(Operation::Barrier, None)?;
        let connections = self.0.connections.as_ptr();
        // SAFETY: the group is alive.
        self.call("barrier", || check(unsafe { effnet_group_barrier(connections) }))
    }

    /// Tells the other ranks that this process is failing with `message`, so that their errors can quote it.
    pub fn report_failure(&self, message: &str) {
        if let Some(presence) = &self.0.presence {
            presence.fail(message);
        }
    }

    /// Checks that a call with `tensor` will not abort any process: that this tensor can be sent, and that all
    /// ranks have one like it.
    pub(crate) fn agree(&self, operation: Operation, tensor: Option<&Tensor>) -> Result<(), GroupError> {
        if let Some(tensor) = tensor {
            self.expect_sendable(operation, tensor)?;
        }
        if self.0.presence.is_none() {
            return Ok(());
        }
        let signature = Signature::new(operation, tensor, [0.0; PAYLOAD]);
        self.exchange(signature).map(drop)
    }

    fn expect_sendable(&self, operation: Operation, tensor: &Tensor) -> Result<(), GroupError> {
        let device = tensor.device();
        let is_here = device == Device::Cpu || device == self.0.device;
        if is_here && tensor.is_contiguous() {
            return Ok(());
        }
        let found = if is_here {
            format!("of shape {:?} with strides {:?}", tensor.size(), tensor.stride())
        } else {
            format!("on {}", device_name(device))
        };
        Err(GroupError::Tensor {
            rank: self.0.rank,
            operation: operation.name(),
            device: self.0.device,
            found,
        })
    }

    /// Exchanges signatures with all ranks, and returns all of them if they agree.
    pub(crate) fn exchange(&self, own: Signature) -> Result<Vec<Signature>, GroupError> {
        let numbers = self.local(|| Ok(Tensor::f_from_slice(&own.to_numbers())?))?;
        let all = self.call(own.name(), || self.gather(&numbers))?;
        let parse = |tensor: &Tensor| {
            let mut numbers = vec![0i64; tensor.numel()];
            let length = numbers.len();
            tensor.f_to_kind(Kind::Int64)?.f_copy_data(&mut numbers, length)?;
            Signature::from_numbers(&numbers)
                .ok_or_else(|| Error::Native("a rank runs a different program or version".to_owned()))
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

    pub(crate) fn local<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, GroupError> {
        let rank = self.0.rank;
        work().map_err(|source| GroupError::Native {
            rank,
            source: Box::new(source),
        })
    }

    /// Makes a collective call. If it fails, the error names the ranks that caused the failure.
    pub(crate) fn call<T>(
        &self,
        operation: &'static str,
        call: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, GroupError> {
        if let Some(presence) = &self.0.presence {
            presence.count();
        }
        call().map_err(|error| self.explain(operation, &error.to_string()))
    }

    /// The error from a call that failed inside another operation, such as the backward pass of a
    /// [`Reducer`](crate::Reducer), along with the ranks that caused it, where known. Finding them takes a few
    /// seconds.
    pub fn explain(&self, operation: &'static str, message: &str) -> GroupError {
        self.0.connections.fail();
        let presence = self.0.presence.as_ref();
        GroupError::Collective {
            rank: self.0.rank,
            operation,
            message: message.lines().next().unwrap_or_default().to_owned(),
            suspects: presence.map(Presence::suspects).unwrap_or_default(),
        }
    }
}
