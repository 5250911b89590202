//! The programs `effnet` and `effnet-torch`, built like the test that runs them.

use std::path::PathBuf;
use std::process::{Child, Command, Output};
use std::sync::OnceLock;

/// A call of `effnet` that has not been started: without colours, without the network, and with empty caches,
/// whatever this machine's user has.
pub fn effnet() -> Command {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    let mut command = Command::new(BINARY.get_or_init(build));
    command.env("NO_COLOR", "1").env("EFFNET_OFFLINE", "1");
    for cache in ["EFFNET_CACHE", "TORCH_HOME", "HF_HOME"] {
        command.env(cache, std::env::temp_dir().join("effnet-tests-without-caches"));
    }
    command.env_remove("HF_HUB_CACHE").env_remove("EFFNET_MANIFEST");
    command
}

/// Builds both programs in this test's profile, which `cargo test -p effnet-tests` does not do.
fn build() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    // target/PROFILE/deps/TEST
    let folder = test
        .parent()
        .and_then(|deps| deps.parent())
        .expect("cargo's layout");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--quiet",
        "--bins",
        "--package",
        "effnet-cli",
        "--package",
        "effnet-torch",
    ]);
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(
        cargo.status().expect("cargo runs").success(),
        "cannot build effnet"
    );
    folder.join(format!("effnet{}", std::env::consts::EXE_SUFFIX))
}

/// The result of a finished call, as text.
pub struct Finished {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("effnet writes UTF-8");
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

/// Runs a call until it exits.
pub fn finish(command: &mut Command) -> Finished {
    command.output().expect("effnet starts").into()
}

/// Sends SIGINT to a running call, like Ctrl-C.
pub fn interrupt(child: &Child) {
    let process = child.id().to_string();
    let kill = Command::new("kill").args(["-INT", &process]).status();
    assert!(kill.expect("kill starts").success(), "no process {process}");
}
