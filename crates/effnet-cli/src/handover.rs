//! From `effnet`, which has no libtorch, to the `effnet-torch` beside it.
//!
//! libtorch is 430 MB and takes 0.3 s to load, so `effnet` does without it and hands the calls that need it
//! over by `exec`: the same arguments, the same process, nothing read from standard input. The program is
//! looked for in the folder of this one only, and must be of this version; an environment variable that
//! names the version is also what keeps the two from calling each other in circles.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, ExitCode};

use anyhow::{Context, bail};
use clap::FromArgMatches;

use crate::Printer;
use crate::arguments::{Arguments, Command, DeviceChoice, ExecutionArguments};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The version of the program that handed a call over.
const HANDED_OVER_BY: &str = "EFFNET_HANDED_OVER_BY";
/// `scripts/effnet` asks with this as the first argument whether a call needs libtorch.
const QUESTION: &str = "__needs-torch";
const PROGRAM: &str = "effnet-torch";

/// What to do without the program.
pub(crate) const MISSING: &str = "training, --device cuda and --engine plain need effnet-torch, which is not beside \
     this program: install both with `scripts/install --torch`, or use scripts/effnet";

/// How often a thread of OpenMP looks for work before it sleeps: a hundredth of what the library that libtorch
/// comes with does by itself. Measured on two cores, B0, 96 pixels, batches of 16: 133 images/s with either;
/// with two other busy processes 48 instead of 12.
const SPINS: &str = "1000";
const SPIN_COUNT: &str = "GOMP_SPINCOUNT";

/// Answers `scripts/effnet`, and refuses a call from an `effnet` of another version. `None` for any other call.
pub(crate) fn answer_or_refuse(is_torch: bool) -> Option<ExitCode> {
    if is_torch {
        let by = std::env::var_os(HANDED_OVER_BY)?;
        if by == VERSION {
            return None;
        }
        let printer = Printer::new(false, false, crate::ColorChoice::Auto);
        printer.error(&anyhow::anyhow!(
            "this {PROGRAM} is version {VERSION}, and the effnet that calls it is {}: install both together",
            by.display()
        ));
        return Some(ExitCode::from(2));
    }
    let mut given = std::env::args_os();
    let name = given.next()?;
    if given.next()? != QUESTION {
        return None;
    }
    let matches = Arguments::definition().try_get_matches_from(std::iter::once(name).chain(given));
    let arguments = matches.and_then(|matches| Arguments::from_arg_matches(&matches));
    // A call that cannot be parsed is refused without libtorch.
    let needed = arguments.is_ok_and(|arguments| match need(&arguments.command) {
        Need::Torch => true,
        // One that is there is used, so it has to be that of these sources.
        Need::Device => program().is_some(),
        Need::Nothing => false,
    });
    Some(if needed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Whether a call needs libtorch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Nothing,
    /// If there is a CUDA device and a program that can use it.
    Device,
    Torch,
}

fn need(command: &Command) -> Need {
    match command {
        Command::Train(arguments) | Command::Finetune(arguments) if !arguments.print_config => Need::Torch,
        Command::Classify(arguments) => need_of(&arguments.inference.network.execution),
        Command::Evaluate(arguments) => need_of(&arguments.inference.network.execution),
        Command::Features(arguments) => need_of(&arguments.network.execution),
        Command::Bench(arguments) => need_of(&arguments.execution),
        _ => Need::Nothing,
    }
}

fn need_of(arguments: &ExecutionArguments) -> Need {
    match arguments.device {
        _ if arguments.names_torch() => Need::Torch,
        DeviceChoice::Auto if has_nvidia_driver() => Need::Device,
        _ => Need::Nothing,
    }
}

/// Whether these need libtorch on any machine.
pub(crate) fn needs_torch(arguments: &ExecutionArguments) -> bool {
    need_of(arguments) == Need::Torch
}

/// Whether the driver is loaded, which is where the kernel says so.
fn has_nvidia_driver() -> bool {
    Path::new("/proc/driver/nvidia/version").exists()
}

/// The `effnet-torch` beside this program.
pub(crate) fn program() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let path = own.parent()?.join(PROGRAM);
    path.is_file().then_some(path)
}

/// What the program at this path says of libtorch and CUDA; `None` where it fails, or is of another version.
pub(crate) fn ask_environment(program: &Path) -> Option<serde_json::Value> {
    let mut process = Process::new(program);
    process.args(["env", "--format", "json"]);
    let output = process.env(HANDED_OVER_BY, VERSION).output().ok()?;
    serde_json::from_slice(&output.stdout)
        .ok()
        .filter(|_| output.status.success())
}

/// Hands the call over if it needs libtorch and this program has none. It returns if it does not.
pub(crate) fn hand_over(arguments: &Arguments, is_torch: bool, printer: &Printer) -> anyhow::Result<()> {
    let need = need(&arguments.command);
    if is_torch {
        // Called by its own name. OpenMP reads its variables when it is loaded, which is before `main`: hence
        // one new start for a training.
        if need == Need::Torch && trains(&arguments.command) && std::env::var_os(HANDED_OVER_BY).is_none() {
            let own = std::env::current_exe().context("the path of this program is unknown")?;
            start(&own, &arguments.command)?;
        }
        return Ok(());
    }
    match (need, program()) {
        (Need::Nothing, _) => Ok(()),
        (_, Some(program)) => start(&program, &arguments.command),
        (Need::Device, None) => {
            printer.note(format!(
                "computed on the CPU: there is an NVIDIA driver, but no {PROGRAM} beside this program to use it"
            ));
            Ok(())
        }
        (Need::Torch, None) => bail!(MISSING),
    }
}

fn trains(command: &Command) -> bool {
    matches!(command, Command::Train(_) | Command::Finetune(_))
}

/// Becomes `program`, with the arguments of this one.
///
/// A training step has thousands of short parallel sections, after each of which OpenMP's threads spin for a
/// while. Where something else needs the cores, the data-loading threads among them, that takes from the very
/// work that they wait for: they are told to sleep soon, unless the environment says how they are to wait.
fn start(program: &Path, command: &Command) -> anyhow::Result<()> {
    let mut given = std::env::args_os();
    let mut process = Process::new(program);
    if let Some(name) = given.next() {
        process.arg0(name);
    }
    process.args(given).env(HANDED_OVER_BY, VERSION);
    let is_set = |variable| std::env::var_os(variable).is_some();
    if trains(command) && !is_set(SPIN_COUNT) && !is_set("OMP_WAIT_POLICY") {
        process.env(SPIN_COUNT, SPINS);
    }
    // It returns only if it fails.
    Err(process.exec()).with_context(|| format!("{}: cannot be started", program.display()))
}
