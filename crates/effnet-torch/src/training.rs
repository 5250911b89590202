//! What `effnet train` and `effnet finetune` do; they differ in their defaults.

mod batch_size;
mod beginning;
mod best;
mod data;
mod datasets;
mod learning_rate;
mod networks;
mod origin;
mod plan;
mod progress;
mod ranks;
mod recorder;
mod session;
mod setup;
mod teacher;
mod uploads;

use std::io::Write;
use std::path::Path;

use effnet_kernels::keep_freed_memory;
use effnet_train::run::RunFolder;
use launch_environment::Environment;

use effnet_cli::Outcome;
use effnet_cli::arguments::TrainingArguments;
use effnet_cli::{open_zoo, threads};

use crate::device::{resolve, use_threads};
use effnet_cli::Interrupt;
use effnet_cli::Printer;
use effnet_cli::training::settings::Settings;
use ranks::Ranks;
use session::{Ending, Session};
use setup::{Setup, Start};

/// Runs `command`, `train` or `finetune`, which has these `defaults`.
pub(crate) fn run(
    command: &str,
    arguments: &TrainingArguments,
    defaults: Settings,
    printer: &Printer,
) -> anyhow::Result<Outcome> {
    let Some(environment) = Environment::from_env()? else {
        return run_alone(command, arguments, defaults, printer);
    };
    let printer = &printer.of_rank(environment.rank);
    // Before anything else touches libtorch.
    let device = resolve(arguments.device, printer)?;
    prepare(arguments)?;
    let ranks = Ranks::connect(&environment, arguments, device)?;
    let run = || {
        let (start, settings) = beginning::of_group(command, arguments, defaults, &ranks, printer)?;
        let zoo = open_zoo(&arguments.zoo)?;
        let setup = Setup {
            settings,
            device,
            zoo: &zoo,
            printer,
            interrupt: Interrupt::listen(),
            ranks: &ranks,
        };
        train(command, setup, start)
    };
    run().inspect_err(|error| ranks.report(error))
}

/// As a process that is in no group.
fn run_alone(
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
    let settings = beginning::settings(arguments, defaults, printer)?;
    // Before anything else touches libtorch.
    let device = resolve(arguments.device, printer)?;
    prepare(arguments)?;
    let zoo = open_zoo(&arguments.zoo)?;
    let setup = Setup {
        settings: beginning::with_absolute_paths(settings)?,
        device,
        zoo: &zoo,
        printer,
        interrupt: Interrupt::listen(),
        ranks: &Ranks::alone(),
    };
    let start = match resumed {
        Some(folder) => Start::Resume(folder),
        None => Start::Begin(
            arguments
                .output
                .clone()
                .unwrap_or_else(|| beginning::unused_folder(command)),
        ),
    };
    train(command, setup, start)
}

/// Settles how libtorch computes on the CPU.
fn prepare(arguments: &TrainingArguments) -> anyhow::Result<()> {
    keep_freed_memory();
    use_threads(threads(arguments.threads))
}

fn train(command: &str, setup: Setup<'_>, start: Start) -> anyhow::Result<Outcome> {
    let printer = setup.printer;
    let Some(mut session) = setup.session(start)? else {
        printer.note("interrupted before the training began");
        return Ok(Outcome::Interrupted);
    };
    let ending = session.run()?;
    report(command, ending, &session, printer)
}

fn report(
    command: &str,
    ending: Ending,
    session: &Session<'_>,
    printer: &Printer,
) -> anyhow::Result<Outcome> {
    let Some(recorder) = &session.recorder else {
        return Ok(match ending {
            Ending::Interrupted => Outcome::Interrupted,
            Ending::NoBetter | Ending::Finished => Outcome::Done,
        });
    };
    let run = recorder.path();
    match ending {
        Ending::Interrupted => {
            let step = session.trainer.position().step;
            let run = quoted(run);
            printer.note(format!(
                "saved after step {step}; go on with `effnet {command} --resume {run}`"
            ));
            return Ok(Outcome::Interrupted);
        }
        Ending::NoBetter => printer.note(format!(
            "stopped: no better epoch for {} epochs (--patience)",
            session.settings.patience
        )),
        Ending::Finished => {}
    }
    if let Some(best) = &session.best {
        let accuracy = if session.data.validation_images() > 0 {
            format!(", top-1 {:.2} %", 100.0 * best.top1)
        } else {
            String::new()
        };
        printer.note(format!("best epoch: {}{accuracy}", best.epoch));
    }
    let data = quoted(&session.settings.data);
    let best = recorder.checkpointer.best();
    printer.note(format!(
        "measure it with `effnet evaluate {data} --weights {run}`, use it with `effnet classify PHOTO \
         --weights {best}`",
        run = quoted(run),
        best = quoted(&best)
    ));
    writeln!(std::io::stdout(), "{}", best.display())?;
    Ok(Outcome::Done)
}

/// A path as a shell takes it.
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
