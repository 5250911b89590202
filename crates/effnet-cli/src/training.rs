//! What `effnet train` and `effnet finetune` do; they differ in their defaults.

mod batch_size;
mod best;
mod data;
mod datasets;
pub(crate) mod file;
mod learning_rate;
mod origin;
mod plan;
mod progress;
pub(crate) mod recipe;
mod resolve;
mod session;
pub(crate) mod settings;
mod setup;
pub(crate) mod values;

use std::io::Write;
use std::path::Path;

use effnet_train::run::RunFolder;
use libtorch_ext::keep_freed_memory;

pub(crate) use datasets::kept_back;

use crate::Outcome;
use crate::arguments::TrainingArguments;
use crate::execution::threads;
use crate::interrupt::Interrupt;
use crate::printer::Printer;
use crate::zoo::Zoo;
use session::{Ending, Session};
use settings::Settings;
use setup::Setup;

/// Runs `command`, `train` or `finetune`, which has these `defaults`.
pub(crate) fn run(
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
    let flags = arguments.settings.clone();
    let mut settings = resolve::resolve(flags, arguments.config.as_deref(), defaults, printer)?;
    if arguments.print_config {
        std::io::stdout().write_all(toml::to_string(&settings)?.as_bytes())?;
        return Ok(Outcome::Done);
    }
    if !settings.data.as_os_str().is_empty() {
        // A run is gone on with, and measured, from any folder.
        settings.data = std::path::absolute(&settings.data)?;
    }
    // Before anything else touches libtorch.
    let device = arguments.device.resolve(printer)?;
    keep_freed_memory();
    tch::set_num_threads(i32::try_from(threads(arguments.threads))?);
    let zoo = Zoo::open(&arguments.zoo)?;
    let setup = Setup {
        settings,
        device,
        zoo: &zoo,
        printer,
        interrupt: Interrupt::listen(),
    };
    let session = if let Some(folder) = resumed {
        Some(setup.resume(folder)?)
    } else {
        let output = arguments.output.clone();
        setup.begin(&output.unwrap_or_else(|| setup::unused_folder(command)))?
    };
    let Some(mut session) = session else {
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
    let run = session.folder.path();
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
    let best = session.checkpointer.best();
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
