//! How a command that ran to its end went.

use std::process::ExitCode;

/// What becomes the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was done.
    Done,
    /// Some inputs failed; the others were done and all were reported.
    SomeFailed,
    /// Nothing could be done.
    NothingDone,
    /// Stopped by Ctrl-C; what was done by then was reported.
    Interrupted,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::SomeFailed => Self::from(1),
            Outcome::NothingDone => Self::from(2),
            // What a shell reports of a process that SIGINT ended.
            Outcome::Interrupted => Self::from(130),
        }
    }
}
