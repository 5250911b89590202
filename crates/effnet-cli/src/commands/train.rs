//! `effnet train` and `effnet finetune`.

use std::io::Write;

use anyhow::Context;

use crate::arguments::TrainingArguments;
use crate::torch::TorchCommands;
use crate::training::recorded_split::settings_of_run;
use crate::training::resolve::resolve;
use crate::training::settings::Settings;
use crate::{Outcome, Printer, handover};

/// Runs `command` with these `defaults`. `--print-config` does not need libtorch.
pub(crate) fn run(
    command: &str,
    arguments: &TrainingArguments,
    defaults: Settings,
    torch: Option<&dyn TorchCommands>,
    printer: &Printer,
) -> anyhow::Result<Outcome> {
    if arguments.print_config {
        let defaults = match &arguments.resume {
            Some(run) => settings_of_run(run)
                .with_context(|| format!("--resume {}: expected a run folder", run.display()))?,
            None => defaults,
        };
        let flags = arguments.settings.clone();
        let settings = resolve(flags, arguments.config.as_deref(), defaults, printer)?;
        std::io::stdout().write_all(toml::to_string(&settings)?.as_bytes())?;
        return Ok(Outcome::Done);
    }
    match torch {
        Some(torch) => torch.train(command, arguments, defaults, printer),
        None => Err(handover::missing(handover::TRAINING)),
    }
}
