#![doc = include_str!("../README.md")]

mod archive;
pub mod arguments;
mod commands;
mod destination;
mod downloads;
mod duration;
pub mod escape;
mod execution;
mod failure;
mod format;
mod frame;
mod handover;
mod index_file;
mod inference;
mod input;
mod inputs;
mod interrupt;
pub mod label_column;
pub mod launcher;
mod missing_inputs;
mod outcome;
mod outputs;
pub mod overview;
mod page;
mod printer;
mod process;
mod records;
mod run_report;
mod sharding;
mod sink;
mod sorting;
mod torch;
pub mod training;
mod web;
mod written_file;

use std::process::ExitCode;

use clap::FromArgMatches;

use crate::arguments::{Arguments, Command};

pub use downloads::{DownloadProgress, open_zoo};
pub use duration::duration;
pub use execution::threads;
pub use interrupt::Interrupt;
pub use outcome::Outcome;
pub use printer::{ColorChoice, Printer, counted};
pub use process::{exit_at_once, resident_memory};
pub use run_report::{REPORT, write_report};
pub use sharding::digest;
pub use torch::{Cuda, TorchCommands, TorchExecution, TorchRequest};

/// Parses and runs this process's command line; this is the main function of both programs. `torch` supplies the
/// commands that need libtorch. A program built without libtorch passes those commands to the `effnet-torch` next to
/// it.
pub fn main(torch: Option<&dyn TorchCommands>) -> ExitCode {
    if let Some(code) = handover::answer_or_refuse(torch.is_some()) {
        return code;
    }
    let matches = Arguments::definition().get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let global = &arguments.global;
    let printer = Printer::new(global.quiet, global.verbose, global.color);
    let ran = handover::hand_over(&arguments, torch.is_some(), &printer)
        .and_then(|()| run(&arguments, torch, &printer));
    match ran {
        // Threads may still be computing, and running library destructors underneath them would crash.
        Ok(Outcome::Interrupted) => exit_at_once(130),
        Ok(outcome) => outcome.into(),
        // The reader of the pipe, such as `head`, has closed it, which is not an error.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            printer.error(&error);
            ExitCode::from(2)
        }
    }
}

fn run(
    arguments: &Arguments,
    torch: Option<&dyn TorchCommands>,
    printer: &Printer,
) -> anyhow::Result<Outcome> {
    match &arguments.command {
        Command::Classify(arguments) => commands::classify::run(arguments, torch, printer),
        Command::Finetune(arguments) => commands::train::run(
            "finetune",
            arguments,
            training::settings::Settings::of_finetune(),
            torch,
            printer,
        ),
        Command::Train(arguments) => commands::train::run(
            "train",
            arguments,
            training::settings::Settings::of_train(),
            torch,
            printer,
        ),
        Command::Evaluate(arguments) => commands::evaluate::run(arguments, torch, printer),
        Command::Report(arguments) => commands::report::run(arguments, torch, printer),
        Command::Runs(arguments) => commands::runs::run(arguments),
        Command::Check(arguments) => commands::check::run(arguments, torch, printer),
        Command::Features(arguments) => commands::features::run(arguments, torch, printer),
        Command::Similar(arguments) => commands::similar::run(arguments, torch, printer),
        Command::Inspect(arguments) => commands::inspect::run(arguments, printer),
        Command::Convert(arguments) => commands::convert::run(arguments, printer),
        Command::Explain(arguments) => commands::explain::run(arguments, torch, printer),
        Command::Average(arguments) => commands::average::run(arguments, printer),
        Command::Export(arguments) => commands::export::run(arguments, printer),
        Command::Serve(arguments) => commands::serve::run(arguments, printer),
        Command::Models(arguments) => commands::models::run(arguments),
        Command::Download(arguments) => commands::download::run(arguments, printer),
        Command::Cache(arguments) => commands::cache::run(arguments, printer),
        Command::Bench(arguments) => commands::bench::run(arguments, torch, printer),
        Command::Env(arguments) => commands::env::run(arguments, torch),
        Command::Completions(arguments) => commands::completions::run(arguments),
        Command::Man(arguments) => commands::man::run(arguments),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
