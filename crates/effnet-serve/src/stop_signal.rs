//! What asks a server to stop: SIGTERM and SIGINT on Unix, Ctrl-C and the closing of the console on Windows.
//!
//! From the creation of a [`StopSignal`] on, these no longer end the process by themselves.

use std::io;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
#[cfg(windows)]
use tokio::signal::windows::{CtrlC as Signal, CtrlClose, ctrl_c, ctrl_close};

/// The signals of this process. Create it in the context of a runtime.
pub(crate) struct StopSignal {
    interrupt: Signal,
    #[cfg(unix)]
    terminate: Signal,
    #[cfg(windows)]
    terminate: CtrlClose,
}

impl StopSignal {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            interrupt: signal(SignalKind::interrupt())?,
            #[cfg(unix)]
            terminate: signal(SignalKind::terminate())?,
            #[cfg(windows)]
            interrupt: ctrl_c()?,
            #[cfg(windows)]
            terminate: ctrl_close()?,
        })
    }

    /// Waits for the next of them.
    pub(crate) async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
