//! Signs of life, by which a process that waits in vain can tell for whom.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use launch_environment::Master;
use libtorch_ext::Error;

use crate::sign::{Sign, State};
use crate::{Peer, Store, Suspect};

/// Time between two signs.
const INTERVAL: Duration = Duration::from_secs(1);
/// Who gives no sign for so long gives none.
const SILENCE: Duration = Duration::from_millis(3500);
/// The store has so much longer to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where a process stands in its group.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) rank: usize,
    pub(crate) world_size: usize,
    pub(crate) master: Master,
    /// Whether the store ends with this process.
    pub(crate) serves: bool,
    /// The address that it tells the others.
    pub(crate) address: Option<IpAddr>,
}

/// What this process tells; the thread that tells it shares it.
#[derive(Debug)]
struct Shared {
    calls: AtomicU64,
    state: Mutex<State>,
    /// Nothing more will be told.
    ends: AtomicBool,
    /// Either of these is another.
    changed: Condvar,
}

/// This process among those of the group.
#[derive(Debug)]
pub(crate) struct Presence {
    place: Place,
    shared: Arc<Shared>,
    /// A connection of its own, since that of the thread may be stuck.
    store: Arc<Store>,
    /// Ends when the thread has.
    ended: Mutex<mpsc::Receiver<()>>,
}

impl Presence {
    /// Tells the others of this process, from now on until it is dropped.
    pub(crate) fn begin(place: Place, store: &Store) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            calls: AtomicU64::new(0),
            state: Mutex::new(State::Running),
            ends: AtomicBool::new(false),
            changed: Condvar::new(),
        });
        let (ends, ended) = mpsc::channel();
        let teller = Teller {
            key: place.rank.to_string(),
            address: place.address,
            shared: Arc::clone(&shared),
            store: store.reconnect()?,
            _ends: ends,
        };
        teller.tell(0, &State::Running)?;
        let spawned = std::thread::Builder::new()
            .name("effnet-presence".to_owned())
            .spawn(move || teller.run());
        spawned.map_err(|error| Error::Native(format!("no thread can be started: {error}")))?;
        Ok(Self {
            place,
            shared,
            store: Arc::new(store.reconnect()?),
            ended: Mutex::new(ended),
        })
    }

    /// The addresses of all processes, once all are there; otherwise, after `timeout`, those that lack.
    pub(crate) fn gather(&self, timeout: Duration) -> Result<Vec<Option<IpAddr>>, Vec<usize>> {
        let end = Instant::now() + timeout;
        let (mut addresses, mut missing) = (Vec::new(), Vec::new());
        for rank in 0..self.place.world_size {
            let left = end.saturating_duration_since(Instant::now());
            // Those who came while another was waited for are there.
            let there = read(&self.store, rank).ok().flatten();
            let sign = there.or_else(|| {
                let text = self.store.get(&rank.to_string(), left).ok()?;
                Sign::parse(&text)
            });
            match sign {
                Some(sign) => addresses.push(sign.address),
                None => missing.push(rank),
            }
        }
        if missing.is_empty() {
            return Ok(addresses);
        }
        // Others may still be asking the store.
        self.shared.change(State::Informed);
        Err(missing)
    }

    /// Counts a collective call.
    pub(crate) fn count(&self) {
        self.shared.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells the others that an error of this process's own ends it.
    pub(crate) fn fail(&self, message: &str) {
        self.shared.change(State::Failed(message.replace('\n', " ")));
    }

    /// Who keeps this process waiting. It takes some seconds.
    pub(crate) fn suspects(&self) -> Vec<Suspect> {
        self.shared.change(State::Stalled);
        let (sender, receiver) = mpsc::channel();
        let (place, store) = (self.place.clone(), Arc::clone(&self.store));
        let own = self.shared.calls.load(Ordering::Relaxed);
        // A store that is cut off may keep a call for ever.
        let spawned = std::thread::Builder::new().spawn(move || {
            let _ = sender.send(look_around(&place, &store, own));
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

    /// Waits, for some seconds at most, until no other process that lives needs the store.
    fn linger(&self) {
        let begin = Instant::now();
        let first = signs(&self.place, &self.store);
        while begin.elapsed() < SILENCE + PATIENCE {
            std::thread::sleep(INTERVAL / 4);
            let last = signs(&self.place, &self.store);
            let (Ok(first), Ok(last)) = (&first, &last) else {
                return;
            };
            let needed = first.iter().zip(last).any(|(first, last)| match last {
                Some(last) => {
                    !last.is_over() && (begin.elapsed() < SILENCE || is_later(first.as_ref(), last))
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
            self.shared.change(State::Left);
        }
        self.shared.ends.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
        // Where the store does not answer, the thread is left behind.
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = ended.recv_timeout(INTERVAL);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reason that is known first stays.
    fn change(&self, to: State) {
        let mut state = self.state();
        if !matches!(*state, State::Failed(_)) {
            *state = to;
            drop(state);
            self.changed.notify_all();
        }
    }
}

/// The thread that tells.
struct Teller {
    key: String,
    address: Option<IpAddr>,
    shared: Arc<Shared>,
    store: Store,
    _ends: mpsc::Sender<()>,
}

impl Teller {
    fn tell(&self, beat: u64, state: &State) -> Result<(), Error> {
        let sign = Sign {
            beat,
            calls: self.shared.calls.load(Ordering::Relaxed),
            address: self.address,
            state: state.clone(),
        };
        self.store.set(&self.key, sign.to_text().as_bytes())
    }

    fn run(self) {
        let mut told = State::Running;
        for beat in 1.. {
            let state = self.shared.state();
            let unchanged = |state: &mut State| *state == told && !self.shared.ends.load(Ordering::Relaxed);
            let waited = self.shared.changed.wait_timeout_while(state, INTERVAL, unchanged);
            let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            told = state.clone();
            drop(state);
            // A store that is gone is found out by those who need it.
            let _ = self.tell(beat, &told);
            if self.shared.ends.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

/// The signs of the other processes; `None` for this one and for those without.
fn signs(place: &Place, store: &Store) -> Result<Vec<Option<Sign>>, Error> {
    let sign = |rank: usize| {
        if rank == place.rank {
            return Ok(None);
        }
        read(store, rank)
    };
    (0..place.world_size).map(sign).collect()
}

fn read(store: &Store, rank: usize) -> Result<Option<Sign>, Error> {
    let text = store.try_get(&rank.to_string())?;
    Ok(text.and_then(|text| Sign::parse(&text)))
}

fn is_later(first: Option<&Sign>, last: &Sign) -> bool {
    first.is_none_or(|first| last.beat > first.beat)
}

/// Watches the other processes for a while.
fn look_around(place: &Place, store: &Store, own: u64) -> Result<Vec<Suspect>, Error> {
    let first = signs(place, store)?;
    std::thread::sleep(SILENCE);
    let last = signs(place, store)?;
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
                State::Left => gone.push(Suspect::Left(peer)),
                State::Running | State::Stalled if !is_later(first.as_ref(), &last) => {
                    gone.push(Suspect::Silent(peer));
                }
                State::Running | State::Stalled if last.calls < own => behind.push(Suspect::Behind {
                    peer,
                    calls: last.calls,
                    own,
                }),
                // One that is informed has seen what this process sees.
                State::Running | State::Stalled | State::Informed => {}
            },
        }
    }
    // What comes first explains what comes later.
    let found = [failed, gone, behind]
        .into_iter()
        .find(|suspects| !suspects.is_empty());
    Ok(found.unwrap_or_default())
}
