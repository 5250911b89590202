//! Heartbeats, which tell a stuck process which rank it is waiting for.
//!
//! Gloo and NCCL only report a timeout or a closed connection. So each process publishes a heartbeat in the store
//! every second, from a separate thread. When a call fails, [`Presence::suspects`] watches the heartbeats of the
//! other processes for a few seconds, and names the ranks that failed, exited, stopped responding or are behind.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use launch_environment::Master;
use libtorch_ext::Error;

use crate::heartbeat::{Heartbeat, State};
use crate::{Peer, Store, Suspect};

/// The time between two heartbeats.
const INTERVAL: Duration = Duration::from_secs(1);
/// A process that sends no heartbeat for this long is considered dead.
const SILENCE: Duration = Duration::from_millis(3500);
/// How much longer to wait for the store to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// A process's place in its group.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) rank: usize,
    pub(crate) world_size: usize,
    pub(crate) master: Master,
    /// Whether this process serves the store. If so, the store goes away when the process exits.
    pub(crate) serves: bool,
    /// The address that the process publishes.
    pub(crate) address: Option<IpAddr>,
}

/// The state that this process publishes, shared with the publishing thread.
#[derive(Debug)]
struct Shared {
    calls: AtomicU64,
    state: Mutex<State>,
    /// Tells the thread to end.
    ends: AtomicBool,
    /// Signals a change of `state` or `ends`.
    changed: Condvar,
}

/// Publishes this process's heartbeats, and reads those of the other processes.
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
    /// Publishes heartbeats until the returned value is dropped.
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

    /// Waits until all processes have connected, and returns their addresses. After `timeout`, fails with the
    /// missing ranks.
    pub(crate) fn gather(&self, timeout: Duration) -> Result<Vec<Option<IpAddr>>, Vec<usize>> {
        let end = Instant::now() + timeout;
        let (mut addresses, mut missing) = (Vec::new(), Vec::new());
        for rank in 0..self.place.world_size {
            let remaining = end.saturating_duration_since(Instant::now());
            // A rank that connected while this one waited for another is found without further waiting.
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

    /// Tells the other ranks that this process is failing with `message`.
    pub(crate) fn fail(&self, message: &str) {
        self.shared.change(State::Failed(message.replace('\n', " ")));
    }

    /// Finds the ranks that keep this process waiting, which takes a few seconds.
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

    /// Sets the state, unless the process has already failed: the first cause is kept.
    fn change(&self, to: State) {
        let mut state = self.state();
        if !matches!(*state, State::Failed(_)) {
            *state = to;
            drop(state);
            self.changed.notify_all();
        }
    }
}

/// The publishing thread and its connection to the store.
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
            // Errors are ignored here: whoever uses the store next will notice that it is gone.
            let _ = self.publish(beat, &published);
            if self.shared.ends.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

/// Reads the latest heartbeat of each process, by rank: `None` for this process and for those that have not
/// published one.
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

/// Watches the heartbeats of the other processes for a while, and returns the ranks that cause the delay.
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
                // An informed process has looked for the cause itself.
                State::Running | State::Stalled | State::Informed => {}
            },
        }
    }
    // Ranks that failed explain why others are gone, and ranks that are gone explain why others are behind.
    let found = [failed, gone, behind]
        .into_iter()
        .find(|suspects| !suspects.is_empty());
    Ok(found.unwrap_or_default())
}
