//! A Python script that answers requests.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::reference::{interpreter, repository};

/// A running script of `scripts/reference` that answers requests as `answering.py` says.
///
/// Importing the packages takes seconds, so one serves all tests of a binary. It exits when this process does, because
/// its input ends.
pub struct Python(Mutex<Pipes>);

struct Pipes {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Python {
    /// Starts `scripts/reference/SCRIPT`.
    ///
    /// # Errors
    /// Same as [`interpreter`].
    ///
    /// # Panics
    /// When the interpreter cannot be started or lacks a package: that is a failure, not a reason to skip.
    pub fn start(script: &str) -> Result<Self, String> {
        let python = interpreter()?;
        let mut process = Command::new(&python)
            .arg(repository().join("scripts/reference").join(script))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", python.display()));
        let requests = process.stdin.take().expect("stdin is piped");
        let answers = BufReader::new(process.stdout.take().expect("stdout is piped"));
        let mut pipes = Pipes {
            process,
            requests,
            answers,
        };
        assert_eq!(pipes.answer()["ready"], true);
        Ok(Self(Mutex::new(pipes)))
    }

    /// Returns the answer to `{"request": function, argument: value, ...}`, after those of other tests.
    ///
    /// # Panics
    /// When the script fails.
    #[track_caller]
    pub fn ask(&self, request: &Value) -> Value {
        // A test that panicked while it held the lock says nothing about the process.
        let mut pipes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(pipes.requests, "{request}").expect("write to the Python reference");
        let answer = pipes.answer();
        if let Some(error) = answer.get("error") {
            let error = error.as_str().unwrap_or_default();
            panic!("the Python reference failed on {request}:\n{error}");
        }
        answer
    }
}

impl Pipes {
    #[track_caller]
    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.answers
            .read_line(&mut line)
            .expect("read from the Python reference");
        if line.is_empty() {
            let status = self.process.wait().expect("wait for the Python reference");
            panic!("the Python reference exited ({status}); see its output above");
        }
        serde_json::from_str(&line).expect("the Python reference answers with JSON")
    }
}
