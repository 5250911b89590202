//! Handles Ctrl-C: a command finishes the work in progress, reports it and stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::process::exit_at_once;

/// A flag that is set by Ctrl-C or SIGTERM. A second Ctrl-C ends the process immediately.
#[derive(Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Installs the handler. If that fails, Ctrl-C keeps its default effect.
    pub fn listen() -> Self {
        let flag = Arc::new(AtomicBool::new(false));
        let set = Arc::clone(&flag);
        let _ = ctrlc::set_handler(move || {
            if set.swap(true, Ordering::SeqCst) {
                // A writing thread may hold the lock on standard output, so nothing is flushed.
                exit_at_once(130);
            }
        });
        Self(flag)
    }

    /// Returns the flag, to share it with other threads.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// Returns whether Ctrl-C was pressed.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
