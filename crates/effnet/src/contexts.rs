//! The pool of contexts of an engine, which limits concurrent calls and reuses memory between them.
//!
//! A context is scratch memory and a team of threads. Creating one takes longer than the forward pass of a
//! small network, so contexts are reused; more contexts than the cores can run would only slow each other
//! down, so their number is limited and further callers wait.

use std::num::NonZero;
use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use effnet_kernels::{Context, Error};

#[derive(Debug)]
pub(crate) struct Contexts {
    threads: usize,
    most: usize,
    state: Mutex<State>,
    /// Signalled when a context is returned.
    returned: Condvar,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Context>,
    leased: usize,
}

impl Contexts {
    /// Creates a pool of contexts, each with `threads` threads (default: one per core). At most `calls`
    /// contexts are leased at a time. The first is created immediately, so that errors surface early.
    pub(crate) fn new(threads: Option<usize>, calls: Option<usize>) -> Result<Self, Error> {
        let cores = available_parallelism().map_or(1, NonZero::get);
        let threads = threads.unwrap_or(cores).clamp(1, 1024);
        Ok(Self {
            threads,
            most: calls.unwrap_or(cores / threads).max(1),
            state: Mutex::new(State {
                idle: vec![Context::new(threads)?],
                leased: 0,
            }),
            returned: Condvar::new(),
        })
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Leases a context for one call, waiting while `most` contexts are leased.
    pub(crate) fn lease(&self) -> Result<Lease<'_>, Error> {
        let mut state = self.lock();
        while state.leased >= self.most {
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.leased += 1;
        // Take the context that was returned last: its memory is the most likely to be cached.
        let idle = state.idle.pop();
        drop(state);
        let context = match idle.map_or_else(|| Context::new(self.threads), Ok) {
            Ok(context) => context,
            Err(error) => {
                self.give_back(None);
                return Err(error);
            }
        };
        Ok(Lease {
            contexts: self,
            context: Some(context),
        })
    }

    pub(crate) fn idle_bytes(&self) -> u64 {
        self.lock().idle.iter().map(Context::bytes).sum()
    }

    pub(crate) fn release(&self) {
        // Drop the contexts outside the lock: joining their threads takes time.
        let idle = std::mem::take(&mut self.lock().idle);
        drop(idle);
    }

    fn give_back(&self, context: Option<Context>) {
        let mut state = self.lock();
        state.leased -= 1;
        state.idle.extend(context);
        drop(state);
        self.returned.notify_one();
    }

    /// No code that can panic runs while the lock is held, so poisoning can be ignored.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A leased context, returned to the pool when dropped.
#[derive(Debug)]
pub(crate) struct Lease<'a> {
    contexts: &'a Contexts,
    /// `Some` until dropped.
    context: Option<Context>,
}

impl Deref for Lease<'_> {
    type Target = Context;

    fn deref(&self) -> &Context {
        match &self.context {
            Some(context) => context,
            None => unreachable!("a lease has its context until it is dropped"),
        }
    }
}

impl DerefMut for Lease<'_> {
    fn deref_mut(&mut self) -> &mut Context {
        match &mut self.context {
            Some(context) => context,
            None => unreachable!("a lease has its context until it is dropped"),
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.contexts.give_back(self.context.take());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn no_more_contexts_are_leased_or_kept_than_asked_for() {
        let contexts = Contexts::new(Some(1), Some(2)).unwrap();
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let start = Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    for _ in 0..50 {
                        let lease = contexts.lease().unwrap();
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(1, Ordering::SeqCst);
                        drop(lease);
                    }
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 2);
        assert!(contexts.lock().idle.len() <= 2);
        assert_eq!(contexts.lock().leased, 0);
        contexts.release();
        assert_eq!(contexts.idle_bytes(), 0);
        assert_eq!(contexts.lease().unwrap().threads(), 1);
    }
}
