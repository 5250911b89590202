//! The `effnet` command line.

mod arguments;
mod class_match;
mod commands;
mod destination;
mod device;
mod execution;
mod inference;
mod inputs;
mod interrupt;
mod labels;
mod launcher;
mod model;
mod pass;
mod prediction;
mod preprocessing;
mod printer;
mod process_memory;
mod records;
mod sharding;
mod sink;
mod training;
mod zoo;

use std::process::ExitCode;

use clap::FromArgMatches;
use libtorch_ext::exit_at_once;

use crate::arguments::{Arguments, Command};
use crate::printer::Printer;

/// How a command that ran to its end went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
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

fn main() -> ExitCode {
    let matches = Arguments::definition().get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let printer = Printer::new(&arguments.global);
    match run(&arguments, &printer) {
        // Threads may still compute; to take libtorch apart under them would crash.
        Ok(Outcome::Interrupted) => exit_at_once(130),
        Ok(outcome) => outcome.into(),
        // The reader of a pipe has seen enough: nothing went wrong.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            printer.error(&error);
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments, printer: &Printer) -> anyhow::Result<Outcome> {
    match &arguments.command {
        Command::Classify(arguments) => commands::classify::run(arguments, printer),
        Command::Finetune(arguments) => commands::finetune::run(arguments, printer),
        Command::Train(arguments) => commands::train::run(arguments, printer),
        Command::Evaluate(arguments) => commands::evaluate::run(arguments, printer),
        Command::Features(arguments) => commands::features::run(arguments, printer),
        Command::Inspect(arguments) => commands::inspect::run(arguments, printer),
        Command::Convert(arguments) => commands::convert::run(arguments, printer),
        Command::Models(arguments) => commands::models::run(arguments),
        Command::Download(arguments) => commands::download::run(arguments, printer),
        Command::Cache(arguments) => commands::cache::run(arguments, printer),
        Command::Bench(arguments) => commands::bench::run(arguments, printer),
        Command::Env(arguments) => commands::env::run(arguments),
        Command::Completions(arguments) => commands::completions::run(arguments),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
