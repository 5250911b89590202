//! The programs `effnet` and `effnet-torch`, built like the test that runs them.

use std::path::{Path, PathBuf};
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

/// The folder of both programs.
pub fn programs() -> PathBuf {
    let effnet = effnet();
    let folder = Path::new(effnet.get_program()).parent();
    folder.expect("a program is in a folder").to_owned()
}

/// The folder of the checkout.
pub fn checkout() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ is in the checkout")
}

/// The sample image of the README.
pub fn ship() -> PathBuf {
    checkout().join("docs/ship.png")
}

/// Builds both programs in this test's profile, which `cargo test -p effnet-tests` does not do. `cargo test
/// --workspace` does, for the tests of their own crates: `scripts/test` says so with `EFFNET_PROGRAMS_ARE_BUILT`, because
/// to build the programs alone would build half of their dependencies again, with other features.
fn build() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    // target/PROFILE/deps/TEST
    let folder = test
        .parent()
        .and_then(|deps| deps.parent())
        .expect("cargo's layout");
    let program = folder.join(format!("effnet{}", std::env::consts::EXE_SUFFIX));
    if std::env::var_os("EFFNET_PROGRAMS_ARE_BUILT").is_some() {
        return program;
    }
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
    program
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
