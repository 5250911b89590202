//! Ctrl-C: finish what is under way, report it, stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::process::exit_at_once;

/// A flag that Ctrl-C (or SIGTERM) sets; a second one ends the process at once.
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Starts to listen. Where no handler can be installed, Ctrl-C keeps its default.
    pub fn listen() -> Self {
        let flag = Arc::new(AtomicBool::new(false));
        let set = Arc::clone(&flag);
        let _ = ctrlc::set_handler(move || {
            if set.swap(true, Ordering::SeqCst) {
                // A thread that writes may hold the lock of standard output: nothing is flushed.
                exit_at_once(130);
            }
        });
        Self(flag)
    }

    /// The flag, for threads of their own.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// Whether Ctrl-C was pressed.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
