//! `effnet train` and `effnet finetune`, which differ only in their default settings.
//!
//! A training run goes through the modules below in this order: `start` determines the settings and the run
//! folder, `session_builder` opens the images, the initial weights and the teacher and resolves every `auto`,
//! and `session` watches effnet-train's `Fit` run the epochs. These modules add what a command needs: settings,
//! run folders, Ctrl-C, progress bars and several processes.

mod batch_size;
mod class_table;
mod continuation;
mod data;
mod datasets;
mod epoch_table;
mod epochs;
mod facts;
mod initial_model;
mod learning_rate;
mod networks;
mod plan;
mod progress;
mod ranks;
mod recorder;
mod samples;
mod saved_run;
mod session;
mod session_builder;
mod start;
mod targets;
mod task_metrics;
mod teacher;
mod watched;

use std::io::Write;
use std::path::Path;

use effnet::{Precision, Task};
use effnet_kernels::keep_freed_memory;
use effnet_train::run::RunFolder;
use launch_environment::Environment;

use effnet_cli::Outcome;
use effnet_cli::arguments::{DeviceChoice, EngineChoice, ExecutionArguments, TrainingArguments};
use effnet_cli::training::values::PrecisionName;
use effnet_cli::{REPORT, TorchCommands, open_zoo, threads, write_report};
use tch::Device;

use crate::device::{resolve, use_threads};
use effnet_cli::Interrupt;
use effnet_cli::training::settings::Settings;
use effnet_cli::{Printer, counted};
use effnet_train::Ending;
use ranks::Ranks;
use session::Session;
use session_builder::{Built, Ended, SessionBuilder};
use start::{NewFolder, StartMode};

/// Runs `command` (`train` or `finetune`) with the default settings `defaults`. `torch` runs the network for the report.
pub(crate) fn run(
    torch: &dyn TorchCommands,
    command: &str,
    arguments: &TrainingArguments,
    defaults: Settings,
    printer: &Printer,
) -> anyhow::Result<Outcome> {
    let Some(environment) = Environment::from_env()? else {
        return run_alone(torch, command, arguments, defaults, printer);
    };
    let printer = &printer.of_rank(environment.rank);
    // This must precede any other call into libtorch.
    let device = resolve(arguments.device, printer)?;
    prepare(arguments)?;
    let ranks = Ranks::connect(&environment, arguments, device)?;
    let run = || {
        let (start, settings) = start::of_group(command, arguments, defaults, &ranks, printer)?;
        let zoo = open_zoo(&arguments.zoo)?;
        let builder = SessionBuilder {
            command,
            settings,
            device,
            zoo: &zoo,
            printer,
            interrupt: Interrupt::listen(),
            ranks: &ranks,
            threads: threads(arguments.threads),
        };
        train(torch, command, builder, start)
    };
    run().inspect_err(|error| ranks.report(error))
}

/// Trains only in this process.
fn run_alone(
    torch: &dyn TorchCommands,
    command: &str,
    arguments: &TrainingArguments,
    defaults: Settings,
    printer: &Printer,
) -> anyhow::Result<Outcome> {
    let resumed = arguments.resume.as_ref().map(RunFolder::open).transpose()?;
    let defaults = match &resumed {
        Some(folder) => folder.read_config()?,
        None => defaults,
    };
    let settings = start::settings(arguments, defaults, printer)?;
    // This must precede any other call into libtorch.
    let device = resolve(arguments.device, printer)?;
    prepare(arguments)?;
    let zoo = open_zoo(&arguments.zoo)?;
    let builder = SessionBuilder {
        command,
        settings: start::with_absolute_paths(settings)?,
        device,
        zoo: &zoo,
        printer,
        interrupt: Interrupt::listen(),
        ranks: &Ranks::alone(),
        threads: threads(arguments.threads),
    };
    let start = match resumed {
        Some(folder) => StartMode::Resume(folder),
        None => StartMode::New(match &arguments.output {
            Some(folder) => NewFolder::Chosen(folder.clone()),
            None => NewFolder::Unused(command.to_owned()),
        }),
    };
    train(torch, command, builder, start)
}

/// Configures libtorch for training on the CPU.
fn prepare(arguments: &TrainingArguments) -> anyhow::Result<()> {
    keep_freed_memory();
    use_threads(threads(arguments.threads))
}

fn train(
    torch: &dyn TorchCommands,
    command: &str,
    builder: SessionBuilder<'_>,
    start: StartMode,
) -> anyhow::Result<Outcome> {
    let (printer, zoo) = (builder.printer, builder.zoo);
    let execution = execution(&builder);
    let interrupt = builder.interrupt.clone();
    let write_report = |run: &Path| {
        // The training is done and saved, whatever becomes of the pages about it.
        if let Err(error) = write_report(run, &execution, zoo, Some(torch), &interrupt, printer) {
            printer.warning(format!(
                "no {REPORT}: {error:#}; try `effnet report {}`",
                quoted(run)
            ));
        }
    };
    let mut session = match builder.build(start)? {
        Built::Session(session) => session,
        Built::Interrupted => {
            printer.note("interrupted before training started");
            return Ok(Outcome::Interrupted);
        }
        Built::Ended(ended) => {
            // The process may have been killed after the last checkpoint.
            let run = ended.folder.as_ref().map(RunFolder::path);
            if let Some(run) = run.filter(|run| ended.settings.report && !run.join(REPORT).exists()) {
                write_report(run);
            }
            return report_ended(command, &ended, printer);
        }
    };
    let ending = session.run()?;
    let run = session.watcher.recorder.as_ref().map(recorder::Recorder::path);
    if let (Some(run), true) = (run, session.settings.report && ending != Ending::Interrupted) {
        write_report(run);
    }
    report(command, ending, &session, printer)
}

/// Returns how to run the network for the report: as in training.
fn execution(builder: &SessionBuilder<'_>) -> ExecutionArguments {
    ExecutionArguments {
        device: match builder.device {
            Device::Cuda(index) => DeviceChoice::Cuda(Some(index)),
            _ => DeviceChoice::Cpu,
        },
        precision: match builder.settings.precision {
            PrecisionName::Bf16 => Precision::Bf16,
            PrecisionName::Fp16 => Precision::Fp16,
            _ => Precision::Fp32,
        },
        engine: EngineChoice::Fused,
        threads: Some(builder.threads),
        tf32: false,
        autotune: false,
    }
}

/// Reports that the run to be resumed has already ended, and how to continue training.
fn report_ended(command: &str, ended: &Ended, printer: &Printer) -> anyhow::Result<Outcome> {
    let Some(folder) = &ended.folder else {
        return Ok(Outcome::Done);
    };
    let run = quoted(folder.path());
    let Settings { epochs, patience, .. } = ended.settings;
    let (how, more) = match ended.ending {
        Ending::EarlyStopped => (
            format!("stopped early (--patience {patience})"),
            format!(
                "a larger --patience, or 0 for no early stopping: effnet {command} --resume {run} --patience {}",
                patience.saturating_mul(2)
            ),
        ),
        Ending::Finished | Ending::Interrupted => (
            format!("finished after {}", counted(u64::from(epochs), "epoch")),
            format!(
                "more epochs: effnet {command} --resume {run} --epochs {}",
                epochs.saturating_mul(2)
            ),
        ),
    };
    printer.note(format!("{run}: {how}, nothing to resume"));
    printer.note(format!("to train it further, pass {more}"));
    printer.note(format!(
        "to begin a new learning-rate schedule, start a new run from its weights: effnet {command} {} --weights {run}",
        quoted(&ended.settings.data)
    ));
    writeln!(
        std::io::stdout(),
        "{}",
        folder.path().join("best.safetensors").display()
    )?;
    Ok(Outcome::Done)
}

fn report(
    command: &str,
    ending: Ending,
    session: &Session<'_>,
    printer: &Printer,
) -> anyhow::Result<Outcome> {
    let (Some(recorder), Some(checkpointer)) = (&session.watcher.recorder, session.fit.checkpointer()) else {
        return Ok(match ending {
            Ending::Interrupted => Outcome::Interrupted,
            Ending::EarlyStopped | Ending::Finished => Outcome::Done,
        });
    };
    let (run, best_weights) = (recorder.path(), checkpointer.best());
    match ending {
        Ending::Interrupted => {
            let step = session.fit.trainer().position().step;
            let run = quoted(run);
            printer.note(format!(
                "saved after step {step}; resume with `effnet {command} --resume {run}`"
            ));
            return Ok(Outcome::Interrupted);
        }
        Ending::EarlyStopped => {
            let patience = session.settings.patience;
            let epochs = counted(patience as usize, "epoch");
            printer.note(format!(
                "stopped early: no improvement for {epochs} (--patience {patience})"
            ));
        }
        Ending::Finished => {}
    }
    if let Some(best) = &session.watcher.best {
        for line in class_table::lines(best, session.data.classes(), session.data.scale()) {
            printer.note(line);
        }
    }
    if let Some(best) = session.fit.best() {
        let quality = match session.data.task() {
            _ if session.data.validation_images() == 0 => String::new(),
            Task::Classify => format!(", top-1 {:.2} %", 100.0 * best.score.value),
            Task::MultiLabel => format!(", mAP {:.2} %", 100.0 * best.score.value),
            // Several values have no unit in common.
            Task::Regression => String::new(),
        };
        printer.note(format!("best epoch: {}{quality}", best.epoch));
    }
    let data = quoted(session.settings.data_of_validation());
    printer.note(format!(
        "evaluate it with `effnet evaluate {data} --weights {run}`, classify with `effnet classify IMAGE \
         --weights {run}`",
        run = quoted(run)
    ));
    writeln!(std::io::stdout(), "{}", best_weights.display())?;
    Ok(Outcome::Done)
}

/// Quotes a path for a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:@%,~".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_pasted_into_a_shell() {
        assert_eq!(quoted(Path::new("runs/finetune-1")), "runs/finetune-1");
        assert_eq!(quoted(Path::new("my photos/it's")), r"'my photos/it'\''s'");
    }
}
