//! `effnet train` and `effnet finetune`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{DeviceChoice, ZooArguments};
use crate::training::settings::{PartialSettings, Settings};

#[derive(Debug, Args)]
pub struct TrainingArguments {
    #[command(flatten)]
    pub settings: PartialSettings,
    /// Run folder for weights, logs and plots [default: runs/train-N or runs/finetune-N]
    #[arg(long, short, value_name = "RUN")]
    pub output: Option<PathBuf>,
    /// Resume the training run in this folder; with more epochs or more patience, train it further
    #[arg(long, value_name = "RUN", conflicts_with = "output")]
    pub resume: Option<PathBuf>,
    /// Read settings from a file: TOML named like the long flags, with underscores for dashes, or a run's
    /// config.json; flags take precedence
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print all settings in the format of --config and exit
    #[arg(long)]
    pub print_config: bool,
    /// Device: auto, cpu, cuda or cuda:N
    #[arg(
        long,
        value_name = "DEVICE",
        default_value = "auto",
        help_heading = "Execution"
    )]
    pub device: DeviceChoice,
    /// Compute threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = super::count(1..=1024), help_heading = "Execution")]
    pub threads: Option<usize>,
    /// Synchronise batch-norm statistics across processes
    #[arg(long, help_heading = "Distributed training")]
    pub sync_bn: bool,
    /// Seconds to wait for the other processes before giving up
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = super::count(1..=86_400), help_heading = "Distributed training")]
    pub rank_timeout: usize,
    #[command(flatten)]
    pub zoo: ZooArguments,
}

/// Adds the default of each setting to the help of its flag. `train` and `finetune` share their flags, but not their
/// defaults.
pub(super) fn with_defaults(command: clap::Command, defaults: &Settings) -> clap::Command {
    let Value::Object(defaults) = json!(defaults) else {
        return command;
    };
    // A script may put its own flags before those of its user, which then override them.
    let command = command.args_override_self(true);
    // `--lr -1` is an out-of-range value for --lr, not an unknown flag `-1`.
    command.mut_args(|argument| {
        let takes_value = argument.get_action().takes_values() && !argument.is_positional();
        let argument = argument.allow_negative_numbers(takes_value);
        let default = match defaults.get(argument.get_id().as_str()) {
            Some(Value::String(text)) if !text.is_empty() => text.clone(),
            Some(Value::String(_)) | None => return argument,
            Some(number) => number.to_string(),
        };
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        argument.help(format!("{help} [default: {default}]"))
    })
}
