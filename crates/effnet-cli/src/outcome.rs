//! The outcome of a command, which becomes its exit code.

use std::process::ExitCode;

/// The outcome of a command that did not fail as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All inputs succeeded (exit code 0).
    Done,
    /// Some inputs failed and are reported; the others succeeded (exit code 1).
    SomeFailed,
    /// Nothing succeeded (exit code 2).
    NothingDone,
    /// Stopped by Ctrl-C (exit code 130).
    Interrupted,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::SomeFailed => Self::from(1),
            Outcome::NothingDone => Self::from(2),
            // The code that a shell reports for a process ended by SIGINT.
            Outcome::Interrupted => Self::from(130),
        }
    }
}
