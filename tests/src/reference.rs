//! The Python process that answers for the reference packages.
//!
//! Tests compare effnet with the original Python implementations. Importing those takes seconds, so one process
//! serves all tests of a binary, over pipes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

use serde_json::Value;
use test_support::interpreter;

/// torchrun for two processes on this machine, with at most two restarts. The caller adds the program and its
/// arguments.
///
/// # Errors
/// Same as [`interpreter`].
pub fn torchrun() -> Result<Command, String> {
    let mut command = Command::new(interpreter()?);
    command.args(["-m", "torch.distributed.run", "--standalone", "--no-python"]);
    command.args(["--nproc-per-node", "2", "--max-restarts", "2"]);
    Ok(command)
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests are in the repository")
}

/// A running `scripts/reference/network_reference.py`.
struct Reference {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// One for the whole test binary: importing the packages takes seconds. It exits when this process does,
/// because its input ends.
static REFERENCE: LazyLock<Result<Mutex<Reference>, String>> =
    LazyLock::new(|| Ok(Mutex::new(Reference::start(&interpreter()?))));

impl Reference {
    fn start(python: &Path) -> Self {
        let script = repository().join("scripts/reference/network_reference.py");
        let mut process = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", python.display()));
        let requests = process.stdin.take().expect("stdin is piped");
        let answers = BufReader::new(process.stdout.take().expect("stdout is piped"));
        let mut reference = Self {
            process,
            requests,
            answers,
        };
        // An interpreter without the packages is a failure, not a reason to skip.
        assert_eq!(reference.answer()["ready"], true);
        reference
    }

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

/// Asks the Python reference; `request` is `{"request": function, argument: value, ...}` with a
/// function of `scripts/reference/network_reference.py`.
///
/// # Errors
/// When there is no Python reference, with the reason for [`skip`](crate::skip).
///
/// # Panics
/// When the reference fails.
pub fn ask(request: &Value) -> Result<Value, String> {
    let reference = REFERENCE.as_ref().map_err(Clone::clone)?;
    // A test that panicked while it held the lock says nothing about the process.
    let mut reference = reference.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(reference.requests, "{request}").expect("write to the Python reference");
    let answer = reference.answer();
    if let Some(error) = answer.get("error") {
        panic!(
            "the Python reference failed on {request}:\n{}",
            error.as_str().unwrap_or_default()
        );
    }
    Ok(answer)
}
