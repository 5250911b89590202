//! Heartbeats, which tell a process that is stuck waiting which rank it is waiting for.
//!
//! Gloo and NCCL only report a timeout or a closed connection. So each process publishes a heartbeat in the
//! store every second, from a separate thread. When a call fails, [`Presence::suspects`] watches those of the
//! others for a few seconds and names the ranks that failed, exited, stopped responding or are behind.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use launch_environment::Master;
use libtorch_ext::Error;

use crate::heartbeat::{Heartbeat, State};
use crate::{Peer, Store, Suspect};

/// Time between two heartbeats.
const INTERVAL: Duration = Duration::from_secs(1);
/// A process that sends no heartbeat for this long is considered dead.
const SILENCE: Duration = Duration::from_millis(3500);
/// Additional time that the store has to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// A process's place in its group.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) rank: usize,
    pub(crate) world_size: usize,
    pub(crate) master: Master,
    /// Whether this process serves the store, which ends with it.
    pub(crate) serves: bool,
    /// The address that it publishes.
    pub(crate) address: Option<IpAddr>,
}

/// What this process publishes, shared with the thread that does so.
#[derive(Debug)]
struct Shared {
    calls: AtomicU64,
    state: Mutex<State>,
    /// The thread shall end.
    ends: AtomicBool,
    /// Signals a change of `state` or `ends`.
    changed: Condvar,
}

/// Publishes the heartbeats of this process, and reads those of the others.
#[derive(Debug)]
pub(crate) struct Presence {
    place: Place,
    shared: Arc<Shared>,
    /// A connection separate from the thread's, which may be stuck.
    store: Arc<Store>,
    /// Disconnected when the thread ends.
    ended: Mutex<mpsc::Receiver<()>>,
}

impl Presence {
    /// Publishes heartbeats from now on until the value is dropped.
    pub(crate) fn begin(place: Place, store: &Store) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            calls: AtomicU64::new(0),
            state: Mutex::new(State::Running),
            ends: AtomicBool::new(false),
            changed: Condvar::new(),
        });
        let (ends, ended) = mpsc::channel();
        let publisher = Publisher {
            key: place.rank.to_string(),
            address: place.address,
            shared: Arc::clone(&shared),
            store: store.reconnect()?,
            _ends: ends,
        };
        publisher.publish(0, &State::Running)?;
        let spawned = std::thread::Builder::new()
            .name("effnet-presence".to_owned())
            .spawn(move || publisher.run());
        spawned.map_err(|error| Error::Native(format!("cannot start a thread: {error}")))?;
        Ok(Self {
            place,
            shared,
            store: Arc::new(store.reconnect()?),
            ended: Mutex::new(ended),
        })
    }

    /// The addresses of all processes, once all have connected; after `timeout`, the missing ranks.
    pub(crate) fn gather(&self, timeout: Duration) -> Result<Vec<Option<IpAddr>>, Vec<usize>> {
        let end = Instant::now() + timeout;
        let (mut addresses, mut missing) = (Vec::new(), Vec::new());
        for rank in 0..self.place.world_size {
            let remaining = end.saturating_duration_since(Instant::now());
            // A rank that connected while another was waited for is found without waiting.
            let connected = read(&self.store, rank).ok().flatten();
            let heartbeat = connected.or_else(|| {
                let text = self.store.get(&rank.to_string(), remaining).ok()?;
                Heartbeat::parse(&text)
            });
            match heartbeat {
                Some(heartbeat) => addresses.push(heartbeat.address),
                None => missing.push(rank),
            }
        }
        if missing.is_empty() {
            return Ok(addresses);
        }
        // Others may still be using the store.
        self.shared.change(State::Informed);
        Err(missing)
    }

    /// Counts a collective call.
    pub(crate) fn count(&self) {
        self.shared.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells the other ranks that this process fails with `message`.
    pub(crate) fn fail(&self, message: &str) {
        self.shared.change(State::Failed(message.replace('\n', " ")));
    }

    /// The ranks that keep this process waiting. Takes a few seconds.
    pub(crate) fn suspects(&self) -> Vec<Suspect> {
        self.shared.change(State::Stalled);
        let (sender, receiver) = mpsc::channel();
        let (place, store) = (self.place.clone(), Arc::clone(&self.store));
        let own = self.shared.calls.load(Ordering::Relaxed);
        // A call to a store that cannot be reached may block forever.
        let spawned = std::thread::Builder::new().spawn(move || {
            let _ = sender.send(watch(&place, &store, own));
        });
        let found = match spawned {
            Ok(_) => receiver
                .recv_timeout(SILENCE + PATIENCE)
                .ok()
                .and_then(Result::ok),
            Err(_) => None,
        };
        self.shared.change(State::Informed);
        found.unwrap_or_else(|| vec![Suspect::Store(self.place.master.clone())])
    }

    /// Waits, for a few seconds at most, until no live process needs the store.
    fn linger(&self) {
        let start = Instant::now();
        let first = heartbeats(&self.place, &self.store);
        while start.elapsed() < SILENCE + PATIENCE {
            std::thread::sleep(INTERVAL / 4);
            let last = heartbeats(&self.place, &self.store);
            let (Ok(first), Ok(last)) = (&first, &last) else {
                return;
            };
            let needed = first.iter().zip(last).any(|(first, last)| match last {
                Some(last) => {
                    !last.is_over() && (start.elapsed() < SILENCE || is_later(first.as_ref(), last))
                }
                None => false,
            });
            if !needed {
                return;
            }
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let state = self.shared.state().clone();
        if self.place.serves && state != State::Running {
            self.linger();
        }
        if !matches!(state, State::Failed(_)) {
            self.shared.change(State::Exited);
        }
        self.shared.ends.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
        // If the store does not respond, the thread is leaked.
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = ended.recv_timeout(INTERVAL);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the state, unless the process has failed: the first cause is kept.
    fn change(&self, to: State) {
        let mut state = self.state();
        if !matches!(*state, State::Failed(_)) {
            *state = to;
            drop(state);
            self.changed.notify_all();
        }
    }
}

/// What the publishing thread needs.
struct Publisher {
    key: String,
    address: Option<IpAddr>,
    shared: Arc<Shared>,
    store: Store,
    _ends: mpsc::Sender<()>,
}

impl Publisher {
    fn publish(&self, beat: u64, state: &State) -> Result<(), Error> {
        let heartbeat = Heartbeat {
            beat,
            calls: self.shared.calls.load(Ordering::Relaxed),
            address: self.address,
            state: state.clone(),
        };
        self.store.set(&self.key, heartbeat.to_text().as_bytes())
    }

    fn run(self) {
        let mut published = State::Running;
        for beat in 1.. {
            let state = self.shared.state();
            let unchanged =
                |state: &mut State| *state == published && !self.shared.ends.load(Ordering::Relaxed);
            let waited = self.shared.changed.wait_timeout_while(state, INTERVAL, unchanged);
            let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            published = state.clone();
            drop(state);
            // Errors are ignored here: the next user of the store finds out that it is gone.
            let _ = self.publish(beat, &published);
            if self.shared.ends.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

/// The heartbeats of the other processes; `None` for this one and for those without.
fn heartbeats(place: &Place, store: &Store) -> Result<Vec<Option<Heartbeat>>, Error> {
    let heartbeat = |rank: usize| {
        if rank == place.rank {
            return Ok(None);
        }
        read(store, rank)
    };
    (0..place.world_size).map(heartbeat).collect()
}

fn read(store: &Store, rank: usize) -> Result<Option<Heartbeat>, Error> {
    let text = store.try_get(&rank.to_string())?;
    Ok(text.and_then(|text| Heartbeat::parse(&text)))
}

fn is_later(first: Option<&Heartbeat>, last: &Heartbeat) -> bool {
    first.is_none_or(|first| last.beat > first.beat)
}

/// Watches the heartbeats of the other processes for a while.
fn watch(place: &Place, store: &Store, own: u64) -> Result<Vec<Suspect>, Error> {
    let first = heartbeats(place, store)?;
    std::thread::sleep(SILENCE);
    let last = heartbeats(place, store)?;
    let (mut gone, mut failed, mut behind) = (Vec::new(), Vec::new(), Vec::new());
    for (rank, (first, last)) in first.into_iter().zip(last).enumerate() {
        let address = last.as_ref().and_then(|last| last.address);
        let peer = Peer {
            rank,
            address: address.map(|address| address.to_string()),
        };
        match last {
            None if rank == place.rank => {}
            None => gone.push(Suspect::Silent(peer)),
            Some(last) => match last.state {
                State::Failed(message) => failed.push(Suspect::Failed(peer, message)),
                State::Exited => gone.push(Suspect::Exited(peer)),
                State::Running | State::Stalled if !is_later(first.as_ref(), &last) => {
                    gone.push(Suspect::Silent(peer));
                }
                State::Running | State::Stalled if last.calls < own => behind.push(Suspect::Behind {
                    peer,
                    calls: last.calls,
                    own,
                }),
                // An informed process has found the same cause.
                State::Running | State::Stalled | State::Informed => {}
            },
        }
    }
    // A failure explains why others are gone, and those why others are behind.
    let found = [failed, gone, behind]
        .into_iter()
        .find(|suspects| !suspects.is_empty());
    Ok(found.unwrap_or_default())
}
