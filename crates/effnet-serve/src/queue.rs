//! The images that wait for the network, and how they become batches.
//!
//! Each network and task has a lane. A thread that runs networks takes the lane whose first image has waited longest,
//! as soon as the lane is full or its first image has waited for the queue delay. Images whose client has gone, or whose
//! time is over, are dropped here rather than computed. The queue is bounded: threads that decode wait until there is
//! room.
//!
//! An image that is alone is computed by all threads, which gives its answer soonest; the others wait for it. Images
//! that come together are shared out among the threads, which is faster for all of them: threads that work on one image
//! wait for each other at every layer.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use effnet::{ExplainMethod, ExplainedClasses, Explanation};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::ServedModel;
use crate::work_error::WorkError;

/// What to compute for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    Logits,
    Features,
    Explain(ExplainedClasses, ExplainMethod),
}

/// What was computed for an image.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Logits or features.
    Row(Vec<f32>),
    Explanation(Box<Explanation>),
}

/// The way back to the request that asked for an image, with what the image occupies until it is done.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) reply: oneshot::Sender<Result<Answer, WorkError>>,
    pub(crate) deadline: Instant,
    /// The image's place among those that wait or are worked on.
    pub(crate) place: OwnedSemaphorePermit,
}

impl Ticket {
    /// Whether nobody waits for the result.
    pub(crate) fn is_void(&self) -> bool {
        self.reply.is_closed() || Instant::now() >= self.deadline
    }

    /// Frees the place, and then answers.
    pub(crate) fn answer(self, answer: Result<Answer, WorkError>) {
        drop(self.place);
        let _ = self.reply.send(answer);
    }
}

/// A decoded image that waits for its network.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) model: Arc<ServedModel>,
    pub(crate) task: Task,
    pub(crate) pixels: Vec<f32>,
    pub(crate) queued: Instant,
    pub(crate) ticket: Ticket,
}

impl Job {
    fn shares_batch_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.model, &other.model) && self.task == other.task
    }

    /// Maximum number of images per batch of this job's lane.
    fn batch_size(&self) -> usize {
        match self.task {
            Task::Logits | Task::Features => self.model.batch_size(),
            Task::Explain(..) => 1,
        }
    }
}

/// The queue; see the module.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    taken: Condvar,
    delay: Duration,
    capacity: usize,
    /// Number of threads that run networks.
    runners: usize,
}

/// Images to compute in one call.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) jobs: Vec<Job>,
    /// Whether nothing else is computed at the time.
    pub(crate) is_alone: bool,
}

#[derive(Debug, Default)]
struct State {
    /// None is empty.
    lanes: Vec<VecDeque<Job>>,
    /// Number of batches that are computed.
    running: usize,
    /// Whether one of them has all threads.
    is_wide: bool,
    is_closed: bool,
}

impl State {
    fn len(&self) -> usize {
        self.lanes.iter().map(VecDeque::len).sum()
    }

    /// Drops the jobs that nobody waits for.
    fn drop_void(&mut self) {
        for lane in &mut self.lanes {
            lane.retain(|job| !job.ticket.is_void());
        }
        self.lanes.retain(|lane| !lane.is_empty());
    }

    /// The lane that is due, or else the time until one is.
    fn due(&self, delay: Duration, now: Instant) -> Result<usize, Option<Duration>> {
        let wait = |lane: &VecDeque<Job>| {
            let first = lane.front()?;
            let is_full = self.is_closed || lane.len() >= first.batch_size();
            let due = if is_full {
                first.queued
            } else {
                first.queued + delay
            };
            Some((due.saturating_duration_since(now), first.queued))
        };
        let lanes = self.lanes.iter().enumerate();
        let next = lanes.filter_map(|(index, lane)| Some((wait(lane)?, index))).min();
        match next {
            Some(((Duration::ZERO, _), index)) => Ok(index),
            Some(((wait, _), _)) => Err(Some(wait)),
            None => Err(None),
        }
    }
}

impl Queue {
    /// Creates a queue for `capacity` images (at least 1) and `runners` threads that take them, and that lets images wait
    /// for others for at most `delay`.
    pub(crate) fn new(capacity: usize, runners: usize, delay: Duration) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Condvar::new(),
            taken: Condvar::new(),
            delay,
            capacity: capacity.max(1),
            runners: runners.max(1),
        }
    }

    /// Adds a job, waiting until there is room for it.
    pub(crate) fn push(&self, job: Job) {
        let mut state = self.lock();
        while state.len() >= self.capacity && !state.is_closed {
            state = self.taken.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let mut lanes = state.lanes.iter_mut();
        let lane = lanes.find(|lane| lane.front().is_some_and(|first| first.shares_batch_with(&job)));
        match lane {
            Some(lane) => lane.push_back(job),
            None => state.lanes.push(VecDeque::from([job])),
        }
        drop(state);
        self.arrived.notify_one();
    }

    /// Takes the next batch, waiting for it; `None` once the queue is closed and empty. The caller says when it is
    /// [done](Self::done).
    pub(crate) fn take(&self) -> Option<Batch> {
        let mut state = self.lock();
        loop {
            let before = state.len();
            state.drop_void();
            if state.len() < before {
                self.taken.notify_all();
            }
            let wait = match state.due(self.delay, Instant::now()) {
                _ if state.is_wide => None,
                Ok(index) => {
                    let batch = self.take_from(&mut state, index);
                    drop(state);
                    self.taken.notify_all();
                    return Some(batch);
                }
                Err(None) if state.is_closed => return None,
                Err(wait) => wait,
            };
            state = match wait {
                None => self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(wait) => {
                    let waited = self.arrived.wait_timeout(state, wait);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Takes this runner's share of a lane.
    fn take_from(&self, state: &mut State, index: usize) -> Batch {
        let idle = self.runners.saturating_sub(state.running).max(1);
        let lane = &mut state.lanes[index];
        let most = lane.front().map_or(0, Job::batch_size);
        let count = lane.len().div_ceil(idle).min(most);
        let jobs: Vec<Job> = lane.drain(..count).collect();
        if lane.is_empty() {
            state.lanes.swap_remove(index);
        }
        let is_alone = jobs.len() == 1 && state.running == 0 && state.lanes.is_empty();
        state.running += 1;
        state.is_wide = is_alone;
        Batch { jobs, is_alone }
    }

    /// Says that a batch is computed.
    pub(crate) fn done(&self) {
        let mut state = self.lock();
        state.running -= 1;
        state.is_wide = false;
        drop(state);
        self.arrived.notify_all();
    }

    /// Ends the queue: what waits is still computed.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.arrived.notify_all();
        self.taken.notify_all();
    }

    /// Number of images that wait for a network.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// No code that can panic runs while the lock is held, so poisoning can be ignored.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
