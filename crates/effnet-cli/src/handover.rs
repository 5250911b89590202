//! Hands commands that need libtorch over from `effnet` to `effnet-torch`.
//!
//! libtorch is 430 MB and takes 0.3 s to load, so `effnet` does not link to it. If a command needs libtorch, `effnet`
//! executes (`exec`) the `effnet-torch` in the same folder, with the same arguments and in the same process, before it
//! reads anything from standard input. Where there is no `exec`, it waits for the program, and ends with its exit code. Both programs must have the same version. `effnet` passes its version in an
//! environment variable, which also keeps the two from executing each other in a loop.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, ExitCode};

use anyhow::Context;
use clap::FromArgMatches;

use crate::Printer;
use crate::arguments::{Arguments, Command, DeviceChoice, EngineChoice, ExecutionArguments};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The environment variable that holds the version of the program that handed the command over.
const HANDED_OVER_BY: &str = "EFFNET_HANDED_OVER_BY";
/// With this as the first argument, `scripts/effnet` asks whether a command line needs libtorch.
const QUESTION: &str = "__needs-torch";
const PROGRAM: &str = "effnet-torch";

/// What needs `effnet-torch`, besides flags of [`ExecutionArguments`].
pub(crate) const TRAINING: &str = "training";
pub(crate) const GRADIENTS: &str = "--method cam or layercam at a --layer before the head";

/// Returns the error if `effnet-torch` is missing, which `what` needs.
pub(crate) fn missing(what: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "{what} needs {PROGRAM}, which is not in the same folder as effnet: install both with \
         `scripts/install --torch`, or use scripts/effnet"
    )
}

/// How many times an OpenMP thread spins, waiting for work, before it sleeps: a hundredth of the default in libtorch's
/// OpenMP. Measured on two cores (B0, 96 pixels, batches of 16): 133 images/s with either value; next to two other busy
/// processes, 48 images/s instead of 12.
const SPINS: &str = "1000";
const SPIN_COUNT: &str = "GOMP_SPINCOUNT";

/// Answers `scripts/effnet`, or refuses to run for a different version of `effnet`. Returns `None` in all other cases.
pub(crate) fn answer_or_refuse(is_torch: bool) -> Option<ExitCode> {
    if is_torch {
        let by = std::env::var_os(HANDED_OVER_BY)?;
        if by == VERSION {
            return None;
        }
        let printer = Printer::new(false, false, crate::ColorChoice::Auto);
        printer.error(&anyhow::anyhow!(
            "{PROGRAM} has version {VERSION}, but the effnet that called it has version {}: install the same version \
             of both",
            by.display()
        ));
        return Some(ExitCode::from(2));
    }
    let mut call = std::env::args_os();
    let name = call.next()?;
    if call.next()? != QUESTION {
        return None;
    }
    let matches = Arguments::definition().try_get_matches_from(std::iter::once(name).chain(call));
    let arguments = matches.and_then(|matches| Arguments::from_arg_matches(&matches));
    // Reporting arguments that do not parse does not need libtorch.
    let needed = arguments.is_ok_and(|arguments| match need(&arguments.command) {
        Need::Torch(_) => true,
        // If the program exists, it will be used, so it has to be up to date.
        Need::Device => program().is_some(),
        Need::Nothing => false,
    });
    Some(if needed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Whether a command needs libtorch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Nothing,
    /// Only to use a CUDA device, and only if `effnet-torch` is installed.
    Device,
    /// What needs it.
    Torch(&'static str),
}

fn need(command: &Command) -> Need {
    match command {
        Command::Train(arguments) | Command::Finetune(arguments) if !arguments.print_config => {
            Need::Torch(TRAINING)
        }
        Command::Classify(arguments) => need_of(&arguments.inference.network.execution),
        Command::Explain(arguments)
            if arguments
                .options(None)
                .is_ok_and(|options| options.needs_gradients()) =>
        {
            Need::Torch(GRADIENTS)
        }
        Command::Evaluate(arguments) => need_of(&arguments.inference.network.execution),
        Command::Report(arguments) => need_of(&arguments.execution),
        Command::Check(arguments) => need_of(&arguments.network.execution),
        Command::Features(arguments) => need_of(&arguments.network.execution),
        Command::Similar(arguments) => need_of(&arguments.network.execution),
        Command::Bench(arguments) => need_of(&arguments.execution),
        _ => Need::Nothing,
    }
}

fn need_of(arguments: &ExecutionArguments) -> Need {
    match arguments.device {
        _ if arguments.engine == EngineChoice::Plain => Need::Torch("--engine plain"),
        DeviceChoice::Cuda(_) => Need::Torch("--device cuda"),
        DeviceChoice::Auto if has_nvidia_driver() => Need::Device,
        _ => Need::Nothing,
    }
}

/// Returns what in these arguments needs libtorch on any machine.
pub(crate) fn needs_torch(arguments: &ExecutionArguments) -> Option<&'static str> {
    match need_of(arguments) {
        Need::Torch(what) => Some(what),
        Need::Device | Need::Nothing => None,
    }
}

/// Returns whether the kernel has loaded the NVIDIA driver.
fn has_nvidia_driver() -> bool {
    Path::new("/proc/driver/nvidia/version").exists()
}

/// Returns the path of the `effnet-torch` in this program's folder, if there is one.
pub(crate) fn program() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let path = own
        .parent()?
        .join(format!("{PROGRAM}{}", std::env::consts::EXE_SUFFIX));
    path.is_file().then_some(path)
}

/// Returns the answer of the `effnet-torch` at this path to `effnet env`, or `None` if it fails or has a different
/// version.
pub(crate) fn ask_environment(program: &Path) -> Option<serde_json::Value> {
    let mut process = Process::new(program);
    process.args(["env", "--format", "json"]);
    let output = process.env(HANDED_OVER_BY, VERSION).output().ok()?;
    serde_json::from_slice(&output.stdout)
        .ok()
        .filter(|_| output.status.success())
}

/// Hands the command over if it needs libtorch and this program is built without it. Returns only if the command was
/// not handed over.
pub(crate) fn hand_over(arguments: &Arguments, is_torch: bool, printer: &Printer) -> anyhow::Result<()> {
    let need = need(&arguments.command);
    if is_torch {
        // The user called `effnet-torch` directly. OpenMP reads its environment variables when it is loaded, before
        // `main`, so a training command has to execute the program once more.
        if matches!(need, Need::Torch(_))
            && trains(&arguments.command)
            && std::env::var_os(HANDED_OVER_BY).is_none()
        {
            let own = std::env::current_exe().context("cannot determine the path of this program")?;
            start(&own, &arguments.command)?;
        }
        return Ok(());
    }
    match (need, program()) {
        (Need::Nothing, _) => Ok(()),
        (_, Some(program)) => start(&program, &arguments.command),
        (Need::Device, None) => {
            printer.note(format!(
                "using the CPU: there is an NVIDIA driver, but {PROGRAM}, which could use it, is not in the same \
                 folder as effnet"
            ));
            Ok(())
        }
        (Need::Torch(what), None) => Err(missing(what)),
    }
}

fn trains(command: &Command) -> bool {
    matches!(command, Command::Train(_) | Command::Finetune(_))
}

/// Replaces this process with `program`, passing the same arguments.
///
/// A training step has thousands of short parallel sections, and OpenMP's threads spin for a while after each of them.
/// If anything else needs the cores, such as the data-loading threads, spinning slows down the very work that the
/// threads are waiting for. They are therefore made to sleep sooner, unless the environment says how they should wait.
fn start(program: &Path, command: &Command) -> anyhow::Result<()> {
    let mut call = std::env::args_os();
    let mut process = Process::new(program);
    if let Some(name) = call.next() {
        set_name(&mut process, &name);
    }
    process.args(call).env(HANDED_OVER_BY, VERSION);
    let is_set = |variable| std::env::var_os(variable).is_some();
    if trains(command) && !is_set(SPIN_COUNT) && !is_set("OMP_WAIT_POLICY") {
        process.env(SPIN_COUNT, SPINS);
    }
    Err(replace_process(process)).with_context(|| format!("{}: cannot start this program", program.display()))
}

/// Passes on the name that this program was called by, where a program has one apart from its path.
#[cfg(unix)]
fn set_name(process: &mut Process, name: &OsStr) {
    std::os::unix::process::CommandExt::arg0(process, name);
}

#[cfg(not(unix))]
fn set_name(_: &mut Process, _: &OsStr) {}

/// Returns only if the program cannot be started.
#[cfg(unix)]
fn replace_process(mut process: Process) -> std::io::Error {
    std::os::unix::process::CommandExt::exec(&mut process)
}

#[cfg(not(unix))]
fn replace_process(mut process: Process) -> std::io::Error {
    match process.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(2)),
        Err(error) => error,
    }
}
